defmodule Stead.JSON.Jason do
  @moduledoc false
  # Hex's Jason.

  @behaviour Stead.JSON
  # It may be absent.
  @compile {:no_warn_undefined, Jason}

  @impl true
  def present?, do: Code.ensure_loaded?(Jason)

  @impl true
  def encode(term), do: Jason.encode_to_iodata(term)

  @impl true
  def decode(text), do: Jason.decode(text)
end
