defmodule Stead.Server do
  @moduledoc """
  The address of a server: `http://`, `https://`, `ws://` or `wss://`, a host, perhaps a port and a path.

  Wherever this package wants servers, one address or a list of them will do. All of them are nodes of one
  cluster: any node takes any request, so they are tried in turn. A path (`https://host/k/token`) is put
  before every path that is asked for.
  """

  @enforce_keys [:tls?, :host, :port, :path]
  defstruct [:tls?, :host, :port, :path]

  @type t :: %__MODULE__{tls?: boolean(), host: String.t(), port: :inet.port_number(), path: String.t()}

  @doc "Reads one address or several. At least one is needed."
  @spec parse_all(String.t() | [String.t()] | nil) :: {:ok, [t(), ...]} | {:error, Stead.Error.t()}
  def parse_all(address) when is_binary(address), do: parse_all([address])

  def parse_all([_ | _] = addresses) do
    addresses
    |> Enum.reduce_while([], fn address, parsed ->
      case parse(address) do
        {:ok, server} -> {:cont, [server | parsed]}
        {:error, error} -> {:halt, {:error, error}}
      end
    end)
    |> case do
      {:error, error} -> {:error, error}
      parsed -> {:ok, Enum.reverse(parsed)}
    end
  end

  def parse_all(_none) do
    {:error, Stead.Error.invalid("no server is named: pass servers: or set config :stead, servers: [...]")}
  end

  @doc "Reads an address."
  @spec parse(term()) :: {:ok, t()} | {:error, Stead.Error.t()}
  def parse(address) when is_binary(address) do
    with {:ok, uri} <- URI.new(address),
         %URI{scheme: scheme, host: host, query: nil, fragment: nil} when is_binary(host) and host != "" <-
           uri,
         {:ok, tls?} <- tls?(scheme) do
      port = uri.port || if(tls?, do: 443, else: 80)
      {:ok, %__MODULE__{tls?: tls?, host: host, port: port, path: String.trim_trailing(uri.path || "", "/")}}
    else
      _ ->
        {:error,
         Stead.Error.invalid("#{inspect(address)} is not the address of a server, as http://host:8080 is")}
    end
  end

  def parse(other), do: {:error, Stead.Error.invalid("#{inspect(other)} is not the address of a server")}

  @doc "What the header `Host` says."
  @spec authority(t()) :: String.t()
  def authority(%__MODULE__{host: host, port: port}) do
    # An IPv6 address is written in brackets.
    if String.contains?(host, ":"), do: "[#{host}]:#{port}", else: "#{host}:#{port}"
  end

  defp tls?(scheme) when scheme in ["http", "ws"], do: {:ok, false}
  defp tls?(scheme) when scheme in ["https", "wss"], do: {:ok, true}
  defp tls?(_other), do: :error
end
