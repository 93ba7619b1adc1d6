defmodule Stead.Socket.FrameTest do
  use ExUnit.Case, async: true

  alias Stead.Socket.Frame
  alias Stead.Test.Script

  # All messages of some bytes, read at once and read in pieces of every size up to 9.
  defp read(bytes) do
    whole = Frame.read(Frame.reader(), bytes)

    for size <- 1..9 do
      pieces = for <<piece::binary-size(size) <- bytes>>, do: piece
      rest = binary_part(bytes, byte_size(bytes) - rem(byte_size(bytes), size), rem(byte_size(bytes), size))
      assert read_pieces(pieces ++ [rest], Frame.reader(), []) == messages(whole)
    end

    messages(whole)
  end

  defp read_pieces([], _reader, read), do: read

  defp read_pieces([piece | pieces], reader, read) do
    case Frame.read(reader, piece) do
      {:ok, messages, reader} -> read_pieces(pieces, reader, read ++ messages)
      {:error, fault, messages} -> read ++ messages ++ [fault]
    end
  end

  defp messages({:ok, messages, _reader}), do: messages
  defp messages({:error, fault, messages}), do: messages ++ [fault]

  test "what a server may say" do
    assert read(Script.frame(0x81, "hellö")) == [{:text, "hellö"}]
    assert read(Script.frame(0x82, <<255>>)) == [{:binary, <<255>>}]
    assert read(Script.frame(0x89, "p") <> Script.frame(0x8A, "")) == [{:ping, "p"}, {:pong, ""}]
    assert read(Script.frame(0x88, "")) == [{:close, 1005, ""}]
    assert read(Script.frame(0x88, <<4508::16, "slow">>)) == [{:close, 4508, "slow"}]
    long = String.duplicate("x", 70_000)
    assert messages(Frame.read(Frame.reader(), <<0x81, 127, 70_000::64>> <> long)) == [{:text, long}]
  end

  test "a text in pieces that cut a character, with a ping between them" do
    <<first::binary-size(2), rest::binary>> = "aü"

    bytes =
      Script.frame(0x01, first) <>
        Script.frame(0x89, "") <> Script.frame(0x00, "") <> Script.frame(0x80, rest)

    assert read(bytes) == [{:ping, ""}, {:text, "aü"}]
  end

  test "what a server may not say" do
    for {bytes, code} <- [
          {Script.frame(0xC1, "compressed"), 1002},
          {<<0x81, 0x81, 0, 0, 0, 0, 0>>, 1002},
          {Script.frame(0x80, "no beginning"), 1002},
          {Script.frame(0x01, "a") <> Script.frame(0x81, "b"), 1002},
          {Script.frame(0x83, "no such kind"), 1002},
          {Script.frame(0x09, "piece of a ping"), 1002},
          {<<0x89, 126, 200::16>>, 1002},
          {Script.frame(0x88, <<1>>), 1002},
          {Script.frame(0x81, <<255>>), 1007},
          {<<0x81, 127, 40_000_000::64>>, 1009}
        ] do
      assert {^code, _why} = bytes |> read() |> List.last()
    end
  end

  # Debian's erlang-cowlib, which knows nothing of this one.
  test "frames are as another library reads them" do
    for payload <- [
          "",
          "a",
          "hellö",
          String.duplicate("x", 125),
          String.duplicate("y", 126),
          String.duplicate("z", 70_000)
        ],
        {kind, opcode} <- [text: 1, binary: 2, ping: 9, pong: 10],
        kind in [:text, :binary] or byte_size(payload) < 126 do
      frame = IO.iodata_to_binary(Frame.encode(kind, payload))

      assert {_type, _fragments, <<0::3>>, length, mask, rest} =
               apply(:cow_ws, :parse_header, [frame, %{}, :undefined])

      <<1::1, 0::3, ^opcode::4, _::bitstring>> = frame
      assert length == byte_size(payload)
      assert is_integer(mask)
      stream = :binary.copy(<<mask::32>>, div(length + 3, 4))
      assert :crypto.exor(rest, binary_part(stream, 0, length)) == payload
    end

    assert [{:text, "hellö"}] =
             :cow_ws |> apply(:frame, [{:text, "hellö"}, %{}]) |> IO.iodata_to_binary() |> read()

    assert [{:close, 1001, "away"}] =
             :cow_ws |> apply(:frame, [{:close, 1001, "away"}, %{}]) |> IO.iodata_to_binary() |> read()
  end

  test "frames are masked, each otherwise" do
    frames = for _ <- 1..20, do: IO.iodata_to_binary(Frame.encode(:text, "the same"))
    assert length(Enum.uniq(frames)) == 20
    for <<_::8, 1::1, _::bitstring>> = frame <- frames, do: refute(frame =~ "the same")
  end
end
