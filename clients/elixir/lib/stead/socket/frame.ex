defmodule Stead.Socket.Frame do
  @moduledoc false
  # WebSocket frames (RFC 6455, section 5) as a client writes and reads them. Pure: bytes in, messages out.
  #
  # The server cuts large messages into pieces, so pieces are put together here, up to a bound.

  import Bitwise

  # Largest message, in bytes: twice the largest state that comes in one.
  @message_max_bytes 32 * 1024 * 1024
  # Largest payload of a control frame, in bytes (section 5.5).
  @control_max_bytes 125

  defstruct buffer: "", kind: nil, pieces: [], pieces_bytes: 0

  @opaque t :: %__MODULE__{}
  @type message ::
          {:text, binary()}
          | {:binary, binary()}
          | {:ping, binary()}
          | {:pong, binary()}
          | {:close, code :: non_neg_integer(), reason :: String.t()}
  @typedoc "The code to close with, and why."
  @type fault :: {code :: 1002 | 1007 | 1009, String.t()}

  @opcodes %{text: 1, binary: 2, close: 8, ping: 9, pong: 10}

  @doc "A frame to be sent, masked with random bytes as a client must."
  @spec encode(:text | :binary | :ping | :pong, iodata()) :: iodata()
  def encode(kind, payload) do
    payload = IO.iodata_to_binary(payload)
    mask = :crypto.strong_rand_bytes(4)
    [<<1::1, 0::3, @opcodes[kind]::4, 1::1>> |> length_bits(byte_size(payload)), mask, mask(payload, mask)]
  end

  @doc "The frame that says goodbye."
  @spec encode_close(non_neg_integer(), String.t()) :: iodata()
  def encode_close(code, reason) do
    payload = <<code::16, reason::binary>>
    mask = :crypto.strong_rand_bytes(4)
    [<<1::1, 0::3, @opcodes.close::4, 1::1>> |> length_bits(byte_size(payload)), mask, mask(payload, mask)]
  end

  @doc "A reader that has read nothing."
  @spec reader() :: t()
  def reader, do: %__MODULE__{}

  @doc "Reads more bytes: the messages that are complete with them."
  @spec read(t(), binary()) :: {:ok, [message()], t()} | {:error, fault(), [message()]}
  def read(reader, bytes), do: read_all(%{reader | buffer: reader.buffer <> bytes}, [])

  defp read_all(reader, messages) do
    with {:ok, frame, rest} <- split(reader.buffer),
         {:ok, more, reader} <- take(%{reader | buffer: rest}, frame) do
      read_all(reader, more ++ messages)
    else
      :more -> {:ok, Enum.reverse(messages), reader}
      {:error, fault} -> {:error, fault, Enum.reverse(messages)}
    end
  end

  defp split(<<fin::1, 0::3, opcode::4, 0::1, 127::7, length::64, rest::binary>>) do
    split(fin, opcode, length, rest)
  end

  defp split(<<fin::1, 0::3, opcode::4, 0::1, 126::7, length::16, rest::binary>>) do
    split(fin, opcode, length, rest)
  end

  defp split(<<fin::1, 0::3, opcode::4, 0::1, length::7, rest::binary>>) when length < 126 do
    split(fin, opcode, length, rest)
  end

  defp split(<<_fin::1, reserved::3, _opcode::4, _::binary>>) when reserved != 0 do
    {:error, {1002, "a frame uses an extension that was not agreed"}}
  end

  defp split(<<_::8, 1::1, _::bitstring>>), do: {:error, {1002, "a server's frame is masked"}}
  defp split(_incomplete), do: :more

  defp split(_fin, _opcode, length, _rest) when length > @message_max_bytes, do: too_large()

  defp split(0, opcode, _length, _rest) when opcode >= 8, do: {:error, {1002, "a control frame is in pieces"}}

  defp split(_fin, opcode, length, _rest) when opcode >= 8 and length > @control_max_bytes do
    {:error, {1002, "a control frame is too large"}}
  end

  defp split(fin, opcode, length, rest) do
    case rest do
      # A copy, or a small message would keep all that was read with it.
      <<payload::binary-size(length), rest::binary>> -> {:ok, {fin, opcode, :binary.copy(payload)}, rest}
      _ -> :more
    end
  end

  defp take(%{kind: nil} = reader, {1, opcode, payload}) when opcode in [1, 2] do
    with {:ok, message} <- whole(opcode, payload), do: {:ok, [message], reader}
  end

  defp take(%{kind: nil} = reader, {0, opcode, payload}) when opcode in [1, 2] do
    {:ok, [], %{reader | kind: opcode, pieces: [payload], pieces_bytes: byte_size(payload)}}
  end

  defp take(%{kind: kind} = reader, {fin, 0, payload}) when kind != nil do
    pieces_bytes = reader.pieces_bytes + byte_size(payload)
    pieces = [reader.pieces, payload]

    cond do
      pieces_bytes > @message_max_bytes ->
        too_large()

      fin == 0 ->
        {:ok, [], %{reader | pieces: pieces, pieces_bytes: pieces_bytes}}

      true ->
        with {:ok, message} <- whole(kind, IO.iodata_to_binary(pieces)) do
          {:ok, [message], %{reader | kind: nil, pieces: [], pieces_bytes: 0}}
        end
    end
  end

  defp take(reader, {1, 9, payload}), do: {:ok, [{:ping, payload}], reader}
  defp take(reader, {1, 10, payload}), do: {:ok, [{:pong, payload}], reader}
  # 1005 stands for a close without a code (section 7.1.5).
  defp take(reader, {1, 8, ""}), do: {:ok, [{:close, 1005, ""}], reader}

  defp take(reader, {1, 8, <<code::16, reason::binary>>}) do
    if String.valid?(reason),
      do: {:ok, [{:close, code, reason}], reader},
      else: {:error, {1007, "a reason is not UTF-8"}}
  end

  defp take(_reader, _frame), do: {:error, {1002, "a frame is out of place"}}

  defp whole(1, text) do
    if String.valid?(text), do: {:ok, {:text, text}}, else: {:error, {1007, "a text is not UTF-8"}}
  end

  defp whole(2, bytes), do: {:ok, {:binary, bytes}}

  defp too_large, do: {:error, {1009, "a message is larger than #{@message_max_bytes} bytes"}}

  defp length_bits(bits, length) when length < 126, do: <<bits::bitstring, length::7>>
  defp length_bits(bits, length) when length < 1 <<< 16, do: <<bits::bitstring, 126::7, length::16>>
  defp length_bits(bits, length), do: <<bits::bitstring, 127::7, length::64>>

  defp mask("", _mask), do: ""

  defp mask(payload, mask) do
    size = byte_size(payload)
    stream = :binary.copy(mask, div(size + 3, 4))
    :crypto.exor(payload, binary_part(stream, 0, size))
  end
end
