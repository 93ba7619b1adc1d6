defmodule Stead.IdleTest do
  use Stead.Test.Case, async: true

  alias Stead.{Idle, Object, Server}

  @kept "HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\n{}"
  @chunked "HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n2\r\n{}\r\n0\r\ntrailer: x\r\n\r\n"
  @none "HTTP/1.1 204 No Content\r\nx-stead-version: 1\r\n\r\n"

  # Answers each request on one connection with the next of these, then does what comes last.
  defp serves(answers, last) do
    fn connection, _asked ->
      Enum.reduce(answers, nil, fn answer, asked ->
        if asked == :more, do: {:ok, _} = :gen_tcp.recv(connection, 0, 5_000)
        :ok = :gen_tcp.send(connection, answer)
        :more
      end)

      last.(connection)
    end
  end

  defp ask(url), do: Object.get("counter/a", servers: url, retries: 0)

  test "a connection is used again, however a body ended" do
    # One connection: the script has no second part.
    url = Script.start([serves([@kept, @chunked, @none, @kept], &Script.hold/1)])
    for _ <- 1..4, do: assert({:ok, _} = ask(url))
  end

  test "answers in pieces of one byte, and one that says more than it announced" do
    pieces = fn connection, _asked ->
      for answer <- [@chunked, @kept], <<byte <- answer>>, reduce: nil do
        _ -> :ok = :gen_tcp.send(connection, <<byte>>)
      end
    end

    # The second answer was not asked for: the connection is not used again.
    url = Script.start([pieces, serves([@kept <> "x"], &Script.hold/1), serves([@kept], &Script.hold/1)])
    for _ <- 1..3, do: assert({:ok, _} = ask(url))
  end

  test "not one that the server closes, says it closes, or has closed" do
    for answer <- ["HTTP/1.1 200 OK\r\n\r\n{}", String.replace(@kept, "1.1", "1.0"), Script.answer(200, "{}")] do
      url = Script.start([serves([answer], fn _ -> :ok end), serves([@kept], &Script.hold/1)])
      for _ <- 1..2, do: assert({:ok, _} = ask(url))
    end

    test = self()
    closes = fn connection -> :gen_tcp.close(connection) && send(test, :closed) end
    url = Script.start([serves([@kept], closes), serves([@kept], &Script.hold/1)])
    assert {:ok, _} = ask(url)
    assert_receive :closed
    assert {:ok, _} = ask(url)
  end

  test "one whose answer was not read is closed" do
    silent = serves([], &Script.hold/1)
    url = Script.start([silent, serves([@kept], &Script.hold/1)])
    assert {:error, %Error{code: "timeout"}} = Object.get("counter/a", servers: url, retries: 0, timeout: 50)
    assert {:ok, _} = ask(url)
  end

  test "it is closed with its user", %{url: url} do
    {:ok, server} = Server.parse(url)
    test = self()

    user =
      spawn(fn ->
        {:ok, connection} = Stead.Transport.connect(server, 1_000, [])
        Idle.put(server, [own: test], connection)
        {:ok, ^connection} = Idle.take(server, own: test)
        send(test, {:mine, connection})
        receive do: (:never -> :ok)
      end)

    assert_receive {:mine, connection}
    Process.exit(user, :kill)
    Eventually.get("it to be closed", fn -> :inet.getstat(connection.socket) == {:error, :einval} end)
  end

  test "as many as there is use for are kept, for as long as servers wait", %{url: url} do
    {:ok, server} = Server.parse(url)
    # Under a key of this test's own.
    key = [own: self()]

    connections =
      for _ <- 1..66 do
        {:ok, connection} = Stead.Transport.connect(server, 1_000, [])
        connection
      end

    for connection <- connections, do: Idle.put(server, key, connection)
    taken = for _ <- 1..65, do: Idle.take(server, key)
    assert Enum.count(taken, &match?({:ok, _}, &1)) == 64
    assert List.last(taken) == :none

    for {:ok, connection} <- taken, do: Idle.put(server, key, connection)
    {:ok, last} = Idle.take(server, key)
    Idle.put(server, key, last)
    Eventually.get("them to expire", fn -> :inet.getstat(last.socket) == {:error, :einval} end)
    assert Idle.take(server, key) == :none
  end
end
