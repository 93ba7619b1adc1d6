defmodule Stead.LostConnectionTest do
  # What a real server does seldom: by a script.
  use Stead.Test.Case, async: true

  import Stead.Test.Script, only: [opens: 1, say: 2, close: 2, hear: 1, hold: 1, frame: 2, answers: 2]

  alias Stead.Socket

  @counter "counter/a"
  @pauses [backoff_initial: 20, backoff_max: 40]

  defp open(servers, options \\ []) do
    # Not shared: scripts have addresses of their own. Closed at the end, for another test's script may get the port.
    {:ok, socket} = Socket.open(@counter, [servers: servers] ++ options ++ @pauses)
    on_exit(fn -> if Process.alive?(socket), do: Socket.close(socket) end)
    socket
  end

  defp init(connection, version \\ 0),
    do: say(connection, %{type: "init", version: version, state: %{"value" => version}})

  defp update(connection, version),
    do: say(connection, %{type: "update", version: version, changes: %{"value" => version}})

  # The path that the next connection asked for.
  defp asked do
    assert_receive {:asked, asked}, 5_000
    asked |> String.split(" ") |> Enum.at(1)
  end

  test "it comes back with the last version, after each code that says so" do
    parts =
      for {code, version} <- Enum.with_index([1001, 1002, 1011, 4508], 1) do
        opens(fn connection ->
          if version == 1,
            do: init(connection),
            else: say(connection, %{type: "resumed", version: version - 1})

          update(connection, version)
          close(connection, code)
          {8, <<^code::16>>} = hear(connection)
        end)
      end

    open(Script.start(parts ++ [opens(&hold/1)]))
    assert asked() == "/v1/objects/counter/a/live"

    for version <- 1..4 do
      assert_event(@counter, {:update, %{version: ^version}})
      assert_event(@counter, {:down, %Error{code: "closed", retry: :safe}})
      assert asked() == "/v1/objects/counter/a/live?since=#{version}"
    end
  end

  test "it stays away after each code that says so" do
    for code <- [1007, 1009, 4401, 4403, 4404] do
      url = Script.start([opens(&(init(&1) && close(&1, code) && hear(&1))), opens(&hold/1)])
      socket = open(url)
      monitor = Process.monitor(socket)
      assert_event(@counter, {:closed, %Error{code: "closed", retry: :never, detail: detail}})
      assert detail =~ "#{code}"
      assert_receive {:DOWN, ^monitor, _, _, {:shutdown, {:closed, _}}}
    end
  end

  test "it stays away from a handshake that is refused for good, and comes back to one that is not" do
    forbidden = answers(403, ~s({"code":"forbidden","detail":"no","retry":"never"}))
    open(Script.start([forbidden, opens(&hold/1)]))
    assert_event(@counter, {:closed, %Error{status: 403, code: "forbidden"}})

    unavailable = answers(503, ~s({"code":"unavailable","detail":"wait","retry":"safe"}))
    open(Script.start([unavailable, answers(404, "no such page"), opens(&init/1)]))
    assert_event(@counter, {:init, _})
  end

  test "too many sockets: a longer pause" do
    open(Script.start([opens(&(init(&1) && close(&1, 4529))), opens(&init/1)]))
    assert_event(@counter, {:init, _})
    assert_event(@counter, {:down, _})
    # Others come back in 40 ms here.
    refute_receive {:stead, @counter, {:init, _}}, 1_000
    assert_event(@counter, {:init, _}, 10_000)
  end

  test "an update that was seen is left out; one too far is a gap, and asked for" do
    gap = fn connection ->
      init(connection, 5)
      update(connection, 5)
      update(connection, 6)
      update(connection, 6)
      update(connection, 8)
      hold(connection)
    end

    open(Script.start([opens(gap), opens(&(say(&1, %{type: "resumed", version: 8}) && update(&1, 7)))]))
    _first = asked()
    assert_event(@counter, {:init, %{version: 5}})
    assert_event(@counter, {:update, %{version: 6}})
    assert_event(@counter, {:down, _})
    assert asked() =~ "since=6"
    assert_event(@counter, {:resumed, 6})
    assert_event(@counter, {:update, %{version: 7}})
    refute_received {:stead, @counter, {:update, _}}
  end

  test "history too short: the whole state, and what is gone" do
    first = opens(&say(&1, %{type: "init", version: 1, state: %{a: 1, b: 2}}))
    open(Script.start([first, opens(&say(&1, %{type: "init", version: 900, state: %{b: 3}}))]))
    assert_event(@counter, {:init, %{version: 1, gone: []}})
    assert_event(@counter, {:down, _})
    assert_event(@counter, {:init, %{version: 900, state: %{"b" => 3}, gone: ["a"]}})
  end

  test "pings are answered; silence for two intervals is a loss" do
    test = self()

    talks = fn connection ->
      init(connection)
      :gen_tcp.send(connection, frame(0x89, "are you there"))
      {10, "are you there"} = hear(connection)
      # Its own pings come meanwhile, and are not answered.
      {9, ""} = hear(connection)
      send(test, :answered)
      hold(connection)
    end

    open(Script.start([opens(talks), opens(&hold/1)]), ping_interval: 300)
    assert_receive :answered, 5_000
    assert_event(@counter, {:down, %Error{detail: "nothing was heard for two ping intervals"}})
    asked()
    assert asked() =~ "since=0"
  end

  test "pongs keep a connection on which nothing happens" do
    alive = fn connection ->
      init(connection)

      for _ <- 1..4 do
        {9, ""} = hear(connection)
        :gen_tcp.send(connection, frame(0x8A, ""))
      end

      update(connection, 1)
      hold(connection)
    end

    open(Script.start([opens(alive)]), ping_interval: 300)
    assert_event(@counter, {:init, _})
    assert_event(@counter, {:update, %{version: 1}})
    refute_received {:stead, @counter, {:down, _}}
  end

  test "calls: one without a key is of unknown outcome, one with a key is sent again" do
    test = self()

    breaks = fn connection ->
      init(connection)
      for _ <- 1..2, do: {1, _call} = hear(connection)
    end

    answers = fn connection ->
      say(connection, %{type: "resumed", version: 0})
      {1, text} = hear(connection)
      {:ok, %{"id" => id, "method" => "increment", "idempotency_key" => "k"}} = Stead.JSON.decode(text)
      send(test, :again)
      say(connection, %{type: "reply", id: id, ok: true, result: 7, version: 1})
      hold(connection)
    end

    socket = open(Script.start([opens(breaks), opens(answers)]))
    plain = Task.async(fn -> Socket.call(socket, "increment") end)
    keyed = Task.async(fn -> Socket.call(socket, "increment", %{}, idempotency_key: "k") end)
    assert {:error, %Error{code: "outcome_unknown", retry: :unknown}} = Task.await(plain)
    assert {:ok, %{"result" => 7, "version" => 1}} = Task.await(keyed)
    assert_received :again
  end

  test "calls wait for a connection, within their time" do
    gone = Script.gone()
    socket = open(gone)

    assert {:error, %Error{code: "timeout", retry: :safe}} =
             Socket.call(socket, "increment", %{}, timeout: 50)

    assert {:error, %Error{code: "timeout", retry: :safe}} = Socket.snapshot(socket, 50)
    late = open(Script.start([opens(&(init(&1) && hold(&1)))]))

    assert {:error, %Error{code: "timeout", retry: :unknown}} =
             Socket.call(late, "increment", %{}, timeout: 300)

    many = for _ <- 1..1_100, do: Task.async(fn -> Socket.call(socket, "increment", %{}, timeout: 2_000) end)
    codes = for {:error, error} <- Task.await_many(many), do: error.code
    assert Enum.frequencies(codes) == %{"timeout" => 1_024, "overloaded" => 76}
  end

  test "what is not a WebSocket, and frames that are none" do
    wrong_key = fn connection, _asked ->
      :gen_tcp.send(connection, "HTTP/1.1 101 Go on\r\nsec-websocket-accept: x\r\n\r\n")
    end

    mail = fn connection, _asked -> :gen_tcp.send(connection, "220 mail\r\n") end

    masked = fn connection ->
      init(connection)
      :gen_tcp.send(connection, <<0x81, 0x80, 0, 0, 0, 0>>)
      {8, <<1002::16, _::binary>>} = hear(connection)
    end

    no_json = opens(&:gen_tcp.send(&1, frame(0x81, "{")))
    open(Script.start([wrong_key, mail, no_json, opens(masked), opens(&update(&1, 1))]))
    assert_event(@counter, {:init, _})
    assert_event(@counter, {:down, %Error{detail: "a server's frame is masked"}})
    assert_event(@counter, {:update, %{version: 1}})
  end

  test "frames that come in one piece with the handshake's answer, or byte by byte" do
    {:ok, text} = Stead.JSON.encode(%{type: "init", version: 4, state: %{}})
    frames = frame(0x81, IO.iodata_to_binary(text)) <> frame(0x88, <<1001::16>>)

    at_once = fn connection, asked ->
      :gen_tcp.send(connection, Script.accept(asked) <> frames) && hear(connection)
    end

    by_byte = fn connection, asked ->
      for <<byte <- Script.accept(asked) <> frames>>, do: :ok = :gen_tcp.send(connection, <<byte>>)
      hear(connection)
    end

    open(Script.start([at_once, by_byte, opens(&hold/1)]))

    for _ <- 1..2 do
      assert_event(@counter, {:init, %{version: 4}})
      assert_event(@counter, {:down, %Error{code: "closed"}})
    end
  end
end
