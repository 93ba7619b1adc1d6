defmodule Stead.JSON.Jiffy do
  @moduledoc false
  # Debian's erlang-jiffy, for Elixir before 1.18 without Hex.

  @behaviour Stead.JSON
  # It may be absent.
  @compile {:no_warn_undefined, :jiffy}

  @impl true
  def present?, do: Code.ensure_loaded?(:jiffy)

  @impl true
  def encode(term) do
    {:ok, :jiffy.encode(Stead.JSON.Plain.of(term), [:use_nil])}
  rescue
    error -> {:error, error}
  catch
    _kind, reason -> {:error, reason}
  end

  @impl true
  def decode(text) do
    {:ok, :jiffy.decode(text, [:return_maps, :use_nil])}
  rescue
    error -> {:error, error}
  catch
    _kind, reason -> {:error, reason}
  end
end
