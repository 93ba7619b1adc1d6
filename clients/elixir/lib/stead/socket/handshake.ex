defmodule Stead.Socket.Handshake do
  @moduledoc false
  # From an address to an open WebSocket (RFC 6455, section 4).

  alias Stead.{Answer, Error, HTTP, Server, Transport}

  # How long an address may take until its WebSocket stands, in milliseconds.
  @timeout_ms 15_000
  # What the server's answer to the key is made with (section 1.3).
  @guid "258EAFA5-E914-47DA-95CA-C5AB0DC85B11"

  @doc "Connects and upgrades. What came right behind the server's head is returned with the connection."
  @spec open(Server.t(), path :: String.t(), headers :: [{String.t(), String.t()}], tls :: keyword()) ::
          {:ok, Transport.t(), binary()} | {:error, Error.t()}
  def open(server, path, headers, tls) do
    deadline = HTTP.now() + @timeout_ms

    with {:ok, connection} <- Transport.connect(server, @timeout_ms, tls) do
      case upgrade(connection, server, path, headers, deadline) do
        {:ok, read} ->
          {:ok, connection, read}

        {:error, reason} ->
          Transport.close(connection)
          failed(reason)
      end
    else
      {:error, reason} -> failed(reason)
    end
  end

  defp upgrade(connection, server, path, headers, deadline) do
    key = Base.encode64(:crypto.strong_rand_bytes(16))

    asked =
      [
        {"connection", "Upgrade"},
        {"upgrade", "websocket"},
        {"sec-websocket-version", "13"},
        {"sec-websocket-key", key}
      ] ++ headers

    with :ok <- Transport.send(connection, HTTP.head(server, "GET", path, asked)),
         {:ok, %{status: status, headers: answered} = head, read} <- HTTP.read_head(connection, deadline) do
      cond do
        status == 101 and answered["sec-websocket-accept"] == accept(key) ->
          {:ok, read}

        status == 101 ->
          {:error, :not_a_websocket}

        true ->
          with {:ok, body, _rest} <- HTTP.read_body(connection, head, read, deadline) do
            {:error, Answer.error(%{status: status, headers: answered, body: body})}
          end
      end
    end
  end

  defp accept(key), do: Base.encode64(:crypto.hash(:sha, key <> @guid))

  defp failed(%Error{} = error), do: {:error, error}

  defp failed(reason) do
    {:error, %Error{code: "connection_failed", detail: "no WebSocket: #{inspect(reason)}", retry: :safe}}
  end
end
