defmodule Stead.Test.Script do
  @moduledoc """
  A server that says what a test tells it to: for what a real one does seldom, or never.

  Each connection takes the next part of the script, a function of what was asked. The test is sent
  `{:asked, text}` for each.
  """

  @guid "258EAFA5-E914-47DA-95CA-C5AB0DC85B11"
  @patience_ms 10_000

  @doc "Starts it: its address."
  def start(parts) do
    test = self()
    {:ok, listener} = :gen_tcp.listen(0, [:binary, active: false, reuseaddr: true, ip: {127, 0, 0, 1}])
    {:ok, port} = :inet.port(listener)
    server = spawn_link(fn -> play(listener, parts, test) end)
    :ok = :gen_tcp.controlling_process(listener, server)
    "http://127.0.0.1:#{port}"
  end

  @doc "An address at which nobody listens, nor will as long as the test runs: its port is taken."
  def gone do
    {:ok, socket} = :socket.open(:inet, :stream)
    :ok = :socket.bind(socket, %{family: :inet, addr: {127, 0, 0, 1}, port: 0})
    {:ok, %{port: port}} = :socket.sockname(socket)
    "http://127.0.0.1:#{port}"
  end

  @doc "An answer with a status, more headers and a body."
  def answer(status, body, headers \\ []) do
    lines = for {name, value} <- headers, do: "#{name}: #{value}\r\n"

    "HTTP/1.1 #{status} Whatever\r\nconnection: close\r\ncontent-length: #{byte_size(body)}\r\n#{lines}\r\n#{body}"
  end

  @doc "A part that answers."
  def answers(status, body, headers \\ []) do
    fn connection, _asked -> :gen_tcp.send(connection, answer(status, body, headers)) end
  end

  @doc "A part that opens a WebSocket and goes on with it."
  def opens(go_on) do
    fn connection, asked ->
      :ok = :gen_tcp.send(connection, accept(asked))
      go_on.(connection)
    end
  end

  @doc "The answer that accepts a handshake."
  def accept(asked) do
    [_, key] = Regex.run(~r/sec-websocket-key: (\S+)/, asked)
    accept = Base.encode64(:crypto.hash(:sha, key <> @guid))

    "HTTP/1.1 101 Go on\r\nupgrade: websocket\r\nconnection: upgrade\r\nsec-websocket-accept: #{accept}\r\n\r\n"
  end

  @doc "A frame as a server writes it: not masked. The bits are those that begin it."
  def frame(bits, payload) when byte_size(payload) < 126, do: <<bits, byte_size(payload), payload::binary>>
  def frame(bits, payload), do: <<bits, 126, byte_size(payload)::16, payload::binary>>

  @doc "Says a JSON text."
  def say(connection, term) do
    {:ok, text} = Stead.JSON.encode(term)
    :ok = :gen_tcp.send(connection, frame(0x81, IO.iodata_to_binary(text)))
  end

  @doc "Closes with a code."
  def close(connection, code), do: :gen_tcp.send(connection, frame(0x88, <<code::16, "bye">>))

  @doc "The next frame of the client: its opcode and payload."
  def hear(connection) do
    with {:ok, <<_fin::1, 0::3, opcode::4, 1::1, length::7>>} <- :gen_tcp.recv(connection, 2, @patience_ms),
         {:ok, length} <- length(connection, length),
         {:ok, mask} <- :gen_tcp.recv(connection, 4),
         {:ok, payload} <- if(length == 0, do: {:ok, ""}, else: :gen_tcp.recv(connection, length)) do
      {opcode, :crypto.exor(payload, binary_part(:binary.copy(mask, div(length + 3, 4)), 0, length))}
    end
  end

  @doc "Holds the connection, and says nothing."
  def hold(connection) do
    case :gen_tcp.recv(connection, 0, @patience_ms) do
      {:ok, _} -> hold(connection)
      {:error, _} -> :ok
    end
  end

  defp length(connection, 126), do: with({:ok, <<n::16>>} <- :gen_tcp.recv(connection, 2), do: {:ok, n})
  defp length(connection, 127), do: with({:ok, <<n::64>>} <- :gen_tcp.recv(connection, 8), do: {:ok, n})
  defp length(_connection, length), do: {:ok, length}

  defp play(listener, [], _test), do: :gen_tcp.close(listener)

  defp play(listener, [part | parts], test) do
    {:ok, connection} = :gen_tcp.accept(listener)
    asked = read(connection, "")
    send(test, {:asked, asked})
    part.(connection, asked)
    :gen_tcp.close(connection)
    play(listener, parts, test)
  end

  defp read(connection, read) do
    case String.split(read, "\r\n\r\n", parts: 2) do
      [head, body] -> if byte_size(body) >= announced(head), do: read, else: read_more(connection, read)
      _ -> read_more(connection, read)
    end
  end

  defp read_more(connection, read) do
    {:ok, more} = :gen_tcp.recv(connection, 0, @patience_ms)
    read(connection, read <> more)
  end

  defp announced(head) do
    case Regex.run(~r/content-length: (\d+)/, head) do
      [_, length] -> String.to_integer(length)
      nil -> 0
    end
  end
end
