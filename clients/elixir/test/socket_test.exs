defmodule Stead.SocketTest do
  use Stead.Test.Case, async: true

  alias Stead.{Events, Object, Socket}

  setup %{url: url, id: id} do
    {:ok, o: [servers: url], counter: "counter/" <> id, object: "object/" <> id}
  end

  test "the state, then each update, and a reply after its update", %{o: o, counter: counter} do
    {:ok, socket} = Socket.open(counter, o)
    assert_event(counter, {:init, %{version: 0, state: %{}, gone: []}})
    assert Socket.call(socket, "increment", %{by: 5}) == {:ok, %{"result" => %{"value" => 5}, "version" => 1}}
    # It is there already.
    assert_received {:stead, ^counter, {:update, update}}
    assert %{version: 1, changes: %{"value" => 5}, deleted: [], cleared: false, method: "increment"} = update
    assert %{by: "local", timestamp: <<_::binary-size(24)>>, delta: nil} = update
    {:ok, _} = Object.call(counter, "reset", %{}, o)
    assert_event(counter, {:update, %{version: 2, changes: %{"value" => 0}, method: "reset"}})
    assert Socket.snapshot(socket) == {:ok, %{version: 2, state: %{"value" => 0}}}
    assert Socket.status(socket) == :connected
  end

  test "errors of calls", %{o: o, counter: counter} do
    {:ok, socket} = Socket.open(counter, o)
    assert {:error, %Error{code: "method_not_found", retry: :never}} = Socket.call(socket, "fly")

    assert {:error, %Error{code: "invalid_parameters", detail: detail}} =
             Socket.call(socket, "increment", %{by: "x"})

    assert detail =~ "whole number"
    # Not understood by the server, and told to the caller nevertheless.
    assert {:error, %Error{code: "invalid_request"}} = Socket.call(socket, "increment", [1])
    assert {:error, %Error{code: "invalid_request"}} = Socket.call(socket, "increment", %{by: self()})
    # It would cost the socket.
    large = %{by: String.duplicate("x", 4 * 1024 * 1024)}
    assert {:error, %Error{code: "invalid_request"}} = Socket.call(socket, "increment", large)
    assert Socket.status(socket) == :connected
  end

  test "an idempotency key over a socket", %{o: o, counter: counter} do
    {:ok, socket} = Socket.open(counter, o)
    first = Socket.call(socket, "increment", %{}, idempotency_key: "k")
    assert {:ok, %{"version" => 1}} = first
    assert Socket.call(socket, "increment", %{}, idempotency_key: "k") == first
    assert {:ok, %{"version" => 2}} = Socket.call(socket, "increment", %{}, idempotency_key: :generate)
  end

  test "many calls at once", %{o: o, counter: counter} do
    {:ok, socket} = Socket.open(counter, o)
    calls = for _ <- 1..200, do: Task.async(fn -> Socket.call(socket, "increment") end)
    versions = for {:ok, %{"version" => version}} <- Task.await_many(calls, 10_000), do: version
    assert Enum.sort(versions) == Enum.to_list(1..200)
  end

  test "resuming with a version that was seen", %{o: o, counter: counter} do
    for _ <- 1..4, do: {:ok, _} = Object.call(counter, "increment", %{}, o)
    {:ok, socket} = Socket.open(counter, [{:since, 2} | o])
    assert_event(counter, {:resumed, 2})
    assert_event(counter, {:update, %{version: 3}})
    assert_event(counter, {:update, %{version: 4}})
    assert {:ok, %{version: 4, state: nil}} = Socket.snapshot(socket)
  end

  test "a deletion, and what comes after it", %{o: o, object: object} do
    {:ok, _} = Object.put(object, %{a: 1, b: 2}, o)
    {:ok, socket} = Socket.open(object, o)
    assert_event(object, {:init, %{version: 1}})
    {:ok, _} = Object.delete_key(object, "a", o)
    assert_event(object, {:update, %{version: 2, deleted: ["a"], changes: none}})
    assert none == %{}
    {:ok, _} = Object.delete(object, o)
    assert_event(object, {:deleted, %{version: 3, gone: ["b"]}})
    {:ok, _} = Object.put(object, %{c: 3}, o)
    assert_event(object, {:update, %{version: 4, changes: %{"c" => 3}}})
    assert Socket.snapshot(socket) == {:ok, %{version: 4, state: %{"c" => 3}}}
  end

  test "a document's text follows its edits", %{o: o, id: id} do
    document = "document/" <> id
    {:ok, socket} = Socket.open(document, o)
    assert_event(document, {:init, _})

    for {method, params} <- [
          {"insert", %{index: 0, text: "Hi 👋 ünd 🎉!"}},
          {"insert", %{index: 5, text: "✓"}},
          {"delete", %{index: 3, length: 2}},
          {"replace", %{find: "🎉", text: "世界🌍"}},
          {"update", %{content: "x👋y"}}
        ] do
      {:ok, %{"result" => %{"content" => content}, "version" => version}} =
        Object.call(document, method, params, o)

      assert_event(document, {:update, %{version: ^version, delta: [_ | _]}})
      assert {:ok, %{state: %{"content" => ^content, "version" => ^version}}} = Socket.snapshot(socket)
    end
  end

  test "a large state comes whole", %{o: o, object: object} do
    large = for n <- 1..8, into: %{}, do: {"k#{n}", String.duplicate("ü#{n}", 200_000)}
    for {key, value} <- large, do: {:ok, _} = Object.put_key(object, key, value, o)
    {:ok, socket} = Socket.open(object, o)
    assert {:ok, %{version: 8, state: ^large}} = Socket.snapshot(socket)
  end

  test "it is shared, and closed when the last who used it is gone", %{o: o, counter: counter} do
    test = self()

    opener = fn ->
      {:ok, socket} = Socket.open(counter, o)
      send(test, {:opened, socket})
      receive do: (:go -> :ok)
    end

    pids = for _ <- 1..3, do: spawn(opener)
    sockets = for _ <- pids, do: assert_receive({:opened, _}) |> elem(1)
    assert [socket] = Enum.uniq(sockets)
    monitor = Process.monitor(socket)
    for pid <- pids, do: send(pid, :go)
    # It lingers, so that one who comes back soon finds it.
    refute_receive {:DOWN, ^monitor, _, _, _}, 200
    assert_receive {:DOWN, ^monitor, _, _, :normal}, 10_000
    assert {:ok, another} = Socket.open(counter, o)
    assert another != socket
  end

  test "who unsubscribes hears no more", %{o: o, counter: counter} do
    {:ok, socket} = Socket.open(counter, o)
    {:ok, _} = Socket.snapshot(socket)
    :ok = Socket.unsubscribe(socket)
    {:ok, _} = Socket.call(socket, "increment")
    refute_received {:stead, ^counter, {:update, _}}
    :ok = Socket.subscribe(socket)
    {:ok, _} = Socket.call(socket, "increment")
    assert_received {:stead, ^counter, {:update, %{version: 2}}}
  end

  test "under a supervisor of one's own, heard by topics", %{o: o, object: object, id: id} do
    :ok = Events.subscribe("object:" <> object)
    :ok = Events.subscribe("durable_object:" <> id)
    socket = start_supervised!({Socket, [object: object] ++ o})
    assert_event(object, {:init, %{version: 0}})
    assert_receive {:durable_object_update, ^id, none} when none == %{}
    {:ok, _} = Object.put(object, %{a: 1, b: 2}, o)
    assert_event(object, {:update, %{version: 1}})
    assert_receive {:durable_object_update, ^id, %{"a" => 1, "b" => 2}}
    {:ok, _} = Object.delete_key(object, "a", o)
    assert_receive {:durable_object_update, ^id, %{"a" => nil}}
    {:ok, _} = Object.delete(object, o)
    assert_receive {:durable_object_update, ^id, %{"b" => nil}}
    assert {:ok, %{version: 3}} = Socket.snapshot(socket)
    :ok = Events.unsubscribe("durable_object:" <> id)
    {:ok, _} = Object.put(object, %{a: 1}, o)
    assert_event(object, {:update, %{version: 4}})
    refute_received {:durable_object_update, ^id, _}
  end

  test "a class that there is not: closed for good", %{o: o} do
    Process.flag(:trap_exit, true)
    {:ok, socket} = Socket.start_link([object: "nothing/a"] ++ o)

    assert_receive {:EXIT, ^socket,
                    {:shutdown, {:closed, %Error{code: "closed", retry: :never, detail: detail}}}},
                   5_000

    assert detail =~ "4404"
    assert {:error, %Error{code: "closed"}} = Socket.snapshot(socket)
    assert {:error, %Error{code: "closed"}} = Socket.call(socket, "increment")
  end

  test "options that make no sense", %{o: o} do
    Process.flag(:trap_exit, true)
    assert {:error, %Error{code: "invalid_request"}} = Socket.open("counter", o)
    assert {:error, %Error{code: "invalid_request"}} = Socket.open("counter/a", servers: "nowhere")
    assert {:error, %Error{code: "invalid_request"}} = Socket.start_link([object: "counter"] ++ o)
  end
end
