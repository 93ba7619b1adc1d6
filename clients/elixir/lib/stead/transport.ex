defmodule Stead.Transport do
  @moduledoc false
  # A connection, over TCP or TLS, and how both are said alike.
  #
  # Passive at first; whoever wants messages asks for one at a time (`next/1`), so that what a slow process has
  # not taken waits in the kernel and not in its mailbox.

  alias Stead.Server

  @enforce_keys [:module, :socket]
  defstruct [:module, :socket]

  @type t :: %__MODULE__{module: :gen_tcp | :ssl, socket: term()}

  # A peer that takes nothing for so long is gone, in milliseconds.
  @send_timeout_ms 15_000

  @spec connect(Server.t(), timeout_ms :: non_neg_integer(), tls_options :: keyword()) ::
          {:ok, t()} | {:error, term()}
  def connect(%Server{} = server, timeout_ms, tls_options) do
    host = String.to_charlist(server.host)
    module = if server.tls?, do: :ssl, else: :gen_tcp

    options =
      [:binary, active: false, packet: :raw, nodelay: true, keepalive: true] ++
        [send_timeout: @send_timeout_ms, send_timeout_close: true] ++ family(host)

    with {:ok, tls} <- if(server.tls?, do: tls_options(host, tls_options), else: {:ok, []}),
         {:ok, socket} <- module.connect(host, server.port, options ++ tls, timeout_ms) do
      {:ok, %__MODULE__{module: module, socket: socket}}
    end
  end

  @spec send(t(), iodata()) :: :ok | {:error, term()}
  def send(%__MODULE__{module: module, socket: socket}, bytes), do: module.send(socket, bytes)

  @spec recv(t(), length :: non_neg_integer(), timeout_ms :: non_neg_integer()) ::
          {:ok, term()} | {:error, term()}
  def recv(%__MODULE__{module: module, socket: socket}, length, timeout_ms) do
    module.recv(socket, length, timeout_ms)
  end

  @doc "Asks for one message with what has come; see `message/2`."
  @spec next(t()) :: :ok | {:error, term()}
  def next(connection), do: setopts(connection, active: :once)

  @doc "What a process message means to this connection."
  @spec message(t(), term()) :: {:bytes, binary()} | {:closed, term()} | :other
  def message(%__MODULE__{socket: socket}, {tag, socket, bytes}) when tag in [:tcp, :ssl], do: {:bytes, bytes}

  def message(%__MODULE__{socket: socket}, {tag, socket}) when tag in [:tcp_closed, :ssl_closed],
    do: {:closed, :closed}

  def message(%__MODULE__{socket: socket}, {tag, socket, reason}) when tag in [:tcp_error, :ssl_error] do
    {:closed, reason}
  end

  def message(%__MODULE__{}, _other), do: :other

  @spec hand_over(t(), pid()) :: :ok | {:error, term()}
  def hand_over(%__MODULE__{module: module, socket: socket}, to), do: module.controlling_process(socket, to)

  @spec close(t()) :: :ok
  def close(%__MODULE__{module: module, socket: socket}) do
    module.close(socket)
    :ok
  end

  defp setopts(%__MODULE__{module: :gen_tcp, socket: socket}, options), do: :inet.setopts(socket, options)
  defp setopts(%__MODULE__{module: :ssl, socket: socket}, options), do: :ssl.setopts(socket, options)

  defp family(host) do
    case :inet.parse_address(host) do
      {:ok, address} when tuple_size(address) == 8 -> [:inet6]
      _ -> []
    end
  end

  # The server's certificate is checked, against the operating system's authorities if none are given.
  defp tls_options(host, given) do
    base = [
      verify: :verify_peer,
      depth: 8,
      customize_hostname_check: [match_fun: :public_key.pkix_verify_hostname_match_fun(:https)]
    ]

    name =
      case :inet.parse_address(host) do
        {:ok, _address} -> []
        {:error, _} -> [server_name_indication: host]
      end

    with {:ok, authorities} <- authorities(given) do
      {:ok, Keyword.merge(base ++ name ++ authorities, given)}
    end
  end

  defp authorities(given) do
    cond do
      Enum.any?([:cacerts, :cacertfile, :verify], &Keyword.has_key?(given, &1)) -> {:ok, []}
      # Since OTP 25.
      function_exported?(:public_key, :cacerts_get, 0) -> system_authorities()
      true -> {:error, :pass_cacertfile_in_tls_options}
    end
  end

  defp system_authorities do
    {:ok, [cacerts: apply(:public_key, :cacerts_get, [])]}
  rescue
    _ -> {:error, :pass_cacertfile_in_tls_options}
  end
end
