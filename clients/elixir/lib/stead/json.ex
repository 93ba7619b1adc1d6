defmodule Stead.JSON do
  @moduledoc """
  JSON, through whichever library is there.

  The first of these that can be loaded is taken: Jason, Elixir's own `JSON` (1.18 and newer), Erlang's
  `:json` (OTP 27 and newer), `:jiffy`. Another is set by its name:

      config :stead, json: MyApp.StrictJSON

  which is a module with this behaviour. JSON's `null` is `nil`, objects are maps whose keys are strings,
  integers keep all their digits.
  """

  @doc "Writes a term as JSON."
  @callback encode(term()) :: {:ok, iodata()} | {:error, term()}

  @doc "Reads JSON."
  @callback decode(binary()) :: {:ok, term()} | {:error, term()}

  @doc false
  # Whether the library is there.
  @callback present?() :: boolean()
  @optional_callbacks present?: 0

  @adapters [Stead.JSON.Jason, Stead.JSON.Elixir, Stead.JSON.OTP, Stead.JSON.Jiffy]

  @doc "Writes a term as JSON, with the library that is there."
  @spec encode(term()) :: {:ok, iodata()} | {:error, term()}
  def encode(term), do: adapter().encode(term)

  @doc "Reads JSON, with the library that is there."
  @spec decode(binary()) :: {:ok, term()} | {:error, term()}
  def decode(text), do: adapter().decode(text)

  @doc "The module in use."
  @spec adapter() :: module()
  def adapter do
    Application.get_env(:stead, :json) || :persistent_term.get(__MODULE__, nil) || find()
  end

  @doc "The adapters whose libraries are there, the preferred one first."
  @spec present() :: [module()]
  def present, do: Enum.filter(@adapters, & &1.present?())

  defp find do
    case present() do
      [adapter | _] ->
        :persistent_term.put(__MODULE__, adapter)
        adapter

      [] ->
        raise "no JSON library is there: add {:jason, \"~> 1.4\"} to your dependencies, or use Elixir 1.18"
    end
  end
end
