defmodule Stead.JSON.Elixir do
  @moduledoc false
  # Elixir's own, since 1.18.

  @behaviour Stead.JSON
  # Absent before 1.18.
  @compile {:no_warn_undefined, JSON}

  @impl true
  def present?, do: Code.ensure_loaded?(JSON)

  @impl true
  def encode(term) do
    {:ok, JSON.encode_to_iodata!(term)}
  rescue
    error -> {:error, error}
  end

  @impl true
  def decode(text), do: JSON.decode(text)
end
