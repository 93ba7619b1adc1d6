defmodule Stead.JSON.OTP do
  @moduledoc false
  # Erlang's own, since OTP 27. It has `null` where Elixir has `nil`.

  @behaviour Stead.JSON
  # Absent before OTP 27.
  @compile {:no_warn_undefined, :json}

  @impl true
  def present?, do: Code.ensure_loaded?(:json)

  @impl true
  def encode(term) do
    {:ok, :json.encode(Stead.JSON.Plain.of(term), &write/2)}
  rescue
    error -> {:error, error}
  end

  @impl true
  def decode(text) do
    case :json.decode(text, :ok, %{null: nil}) do
      {term, :ok, rest} -> if String.trim(rest) == "", do: {:ok, term}, else: {:error, :trailing_text}
    end
  rescue
    error -> {:error, error}
  end

  defp write(nil, _encoder), do: "null"
  defp write(term, encoder), do: :json.encode_value(term, encoder)
end
