defmodule Stead.HTTP do
  @moduledoc false
  # One request and its answer (HTTP/1.1, RFC 9112). No redirect is followed. Connections are kept in `Stead.Idle` between
  # requests; nothing else is asked on one before its answer is read.
  #
  # It is told apart whether a request that failed can have reached the server: what was surely not sent may
  # be sent again without a thought, and the ready-made clients hide that.

  alias Stead.{Idle, Server, Transport}

  # Largest body of an answer, in bytes: twice the largest state that the server answers with.
  @body_max_bytes 32 * 1024 * 1024
  # Longest line of a head, in bytes.
  @line_max_bytes 64 * 1024
  # Most header lines of an answer.
  @headers_max 100
  # How long a connection may take to stand: a host that is down must leave time for the next, in milliseconds.
  @connect_timeout_ms 5_000

  @type request :: %{
          required(:verb) => String.t(),
          required(:path) => String.t(),
          required(:headers) => [{String.t(), String.t()}],
          required(:body) => iodata() | nil
        }
  @typedoc "`keep?`: the connection may be used again once the body is read."
  @type head :: %{status: pos_integer(), headers: %{String.t() => String.t()}, keep?: boolean()}
  @type answer :: %{status: pos_integer(), headers: %{String.t() => String.t()}, body: binary()}

  @doc "Sends a request, waits for its answer until `deadline` (monotonic milliseconds)."
  @spec ask(Server.t(), request(), deadline :: integer(), tls :: keyword()) ::
          {:ok, answer()} | {:error, :not_sent | :sent, term()}
  def ask(server, request, deadline, tls) do
    with {:ok, connection} <- connection(server, deadline, tls) do
      case exchange(connection, server, request, deadline) do
        {:ok, answer, true} ->
          Idle.put(server, tls, connection)
          {:ok, answer}

        {:ok, answer, false} ->
          Transport.close(connection)
          {:ok, answer}

        {:error, reason} ->
          Transport.close(connection)
          {:error, :sent, reason}
      end
    else
      {:error, reason} -> {:error, :not_sent, reason}
    end
  end

  defp connection(server, deadline, tls) do
    case Idle.take(server, tls) do
      {:ok, connection} -> {:ok, connection}
      :none -> Transport.connect(server, min(left(deadline), @connect_timeout_ms), tls)
    end
  end

  defp exchange(connection, server, request, deadline) do
    length = if request.body, do: [{"content-length", "#{IO.iodata_length(request.body)}"}], else: []
    head = head(server, request.verb, request.path, request.headers ++ length)

    with :ok <- Transport.send(connection, [head, request.body || ""]),
         {:ok, head, read} <- read_head(connection, deadline),
         {:ok, body, rest} <- read_body(connection, head, read, deadline) do
      # What comes unasked would be taken for the next answer.
      {:ok, %{status: head.status, headers: head.headers, body: body}, head.keep? and rest == ""}
    end
  end

  @doc "The head of a request."
  @spec head(Server.t(), String.t(), String.t(), [{String.t(), String.t()}]) :: iodata()
  def head(server, verb, path, headers) do
    lines =
      for {name, value} <- [{"host", Server.authority(server)} | headers], do: [name, ": ", value, "\r\n"]

    [verb, " ", server.path, path, " HTTP/1.1\r\n", lines, "\r\n"]
  end

  @doc "Reads the head of an answer; what was read beyond it comes with it."
  @spec read_head(Transport.t(), integer()) :: {:ok, head(), binary()} | {:error, term()}
  def read_head(connection, deadline), do: read_head(connection, deadline, "")

  defp read_head(connection, deadline, read) do
    with {:ok, {:http_response, version, status, _phrase}, read} <-
           line(:http_bin, connection, deadline, read),
         {:ok, headers, read} <- read_headers(connection, deadline, read, %{}, 0) do
      # 100 Continue and its like go before the answer; 101 is one.
      if status in 102..199 or status == 100,
        do: read_head(connection, deadline, read),
        else: {:ok, %{status: status, headers: headers, keep?: keep?(version, status, headers)}, read}
    else
      {:ok, _other, _read} -> {:error, :not_http}
      {:error, reason} -> {:error, reason}
    end
  end

  defp read_headers(_connection, _deadline, _read, _headers, @headers_max), do: {:error, :too_many_headers}

  defp read_headers(connection, deadline, read, headers, count) do
    case line(:httph_bin, connection, deadline, read) do
      {:ok, :http_eoh, read} ->
        {:ok, headers, read}

      {:ok, {:http_header, _, name, _, value}, read} ->
        headers = Map.put(headers, name |> to_string() |> String.downcase(), value)
        read_headers(connection, deadline, read, headers, count + 1)

      {:ok, _other, _read} ->
        {:error, :not_http}

      {:error, reason} ->
        {:error, reason}
    end
  end

  # A line, parsed as what it is.
  defp line(kind, connection, deadline, read) do
    case :erlang.decode_packet(kind, read, []) do
      {:ok, line, read} ->
        {:ok, line, read}

      {:more, _} when byte_size(read) > @line_max_bytes ->
        {:error, :not_http}

      {:more, _} ->
        with {:ok, more} <- Transport.recv(connection, 0, left(deadline)) do
          line(kind, connection, deadline, read <> more)
        end

      {:error, _} ->
        {:error, :not_http}
    end
  end

  # A body that has no announced end ends with the connection.
  defp keep?({1, 1}, status, headers) do
    ends? =
      status in [204, 304] or Enum.any?(["content-length", "transfer-encoding"], &is_map_key(headers, &1))

    ends? and not String.contains?(String.downcase(Map.get(headers, "connection", "")), "close")
  end

  defp keep?(_version, _status, _headers), do: false

  @doc "Reads the body that a head announces, of which some was read already."
  @spec read_body(Transport.t(), head(), binary(), integer()) :: {:ok, binary(), binary()} | {:error, term()}
  def read_body(_connection, %{status: status}, read, _deadline) when status in [204, 304],
    do: {:ok, "", read}

  def read_body(connection, %{headers: headers}, read, deadline) do
    case headers do
      %{"transfer-encoding" => _} -> read_chunks(connection, deadline, read, [], 0)
      %{"content-length" => length} -> read_length(connection, Integer.parse(length), read, deadline)
      _ -> read_to_end(connection, deadline, [read], byte_size(read))
    end
  end

  defp read_length(connection, {length, ""}, read, deadline) when length in 0..@body_max_bytes do
    exactly(connection, length, read, deadline)
  end

  defp read_length(_connection, {length, ""}, _read, _deadline) when length > 0,
    do: {:error, :answer_too_large}

  defp read_length(_connection, _other, _read, _deadline), do: {:error, :not_http}

  # So many bytes, and what was read beyond them.
  defp exactly(connection, length, read, deadline) do
    case read do
      <<bytes::binary-size(length), rest::binary>> ->
        {:ok, bytes, rest}

      _ ->
        with {:ok, more} <- Transport.recv(connection, length - byte_size(read), left(deadline)) do
          {:ok, read <> more, ""}
        end
    end
  end

  defp read_chunks(connection, deadline, read, chunks, bytes) do
    with {:ok, line, read} <- line(:line, connection, deadline, read),
         {size, _extensions} when size in 0..(@body_max_bytes - bytes)//1 <- Integer.parse(line, 16) do
      read_chunk(connection, deadline, read, chunks, bytes, size)
    else
      {:error, reason} -> {:error, reason}
      {_size, _extensions} -> {:error, :answer_too_large}
      :error -> {:error, :not_http}
    end
  end

  defp read_chunk(connection, deadline, read, chunks, _bytes, 0) do
    with {:ok, rest} <- read_trailers(connection, deadline, read, @headers_max) do
      {:ok, IO.iodata_to_binary(chunks), rest}
    end
  end

  defp read_chunk(connection, deadline, read, chunks, bytes, size) do
    case exactly(connection, size + 2, read, deadline) do
      {:ok, <<chunk::binary-size(size), "\r\n">>, rest} ->
        read_chunks(connection, deadline, rest, [chunks, chunk], bytes + size)

      {:ok, _other, _rest} ->
        {:error, :not_http}

      {:error, reason} ->
        {:error, reason}
    end
  end

  defp read_trailers(_connection, _deadline, _read, 0), do: {:error, :too_many_headers}

  defp read_trailers(connection, deadline, read, left) do
    case line(:line, connection, deadline, read) do
      {:ok, "\r\n", rest} -> {:ok, rest}
      {:ok, _trailer, rest} -> read_trailers(connection, deadline, rest, left - 1)
      {:error, reason} -> {:error, reason}
    end
  end

  defp read_to_end(_connection, _deadline, _read, bytes) when bytes > @body_max_bytes do
    {:error, :answer_too_large}
  end

  defp read_to_end(connection, deadline, read, bytes) do
    case Transport.recv(connection, 0, left(deadline)) do
      {:ok, more} -> read_to_end(connection, deadline, [read, more], bytes + byte_size(more))
      {:error, :closed} -> {:ok, IO.iodata_to_binary(read), ""}
      {:error, reason} -> {:error, reason}
    end
  end

  @doc "What is left until a deadline, in milliseconds."
  @spec left(deadline :: integer()) :: non_neg_integer()
  def left(deadline), do: max(deadline - now(), 0)

  @doc "Monotonic milliseconds."
  @spec now() :: integer()
  def now, do: System.monotonic_time(:millisecond)
end
