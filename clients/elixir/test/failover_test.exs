defmodule Stead.FailoverTest do
  # Real nodes that are killed. Versions and values of a counter are the same numbers, so what was lost or
  # repeated shows.
  use Stead.Test.Case

  alias Stead.{Object, Socket}

  # Pauses that suit a test; the doubling has its own.
  @soon [backoff_initial: 50]

  # Every update, in order, up to version `last`; what else happens is put aside.
  defp versions(object, last, seen \\ []) do
    receive do
      {:stead, ^object, {:update, %{version: version} = update}} ->
        assert update.changes["value"] == version
        if version == last, do: Enum.reverse([version | seen]), else: versions(object, last, [version | seen])

      {:stead, ^object, {:init, %{version: version}}} when version > 0 ->
        flunk("the whole state at #{version}, where updates were to follow")
    after
      20_000 -> flunk("no update after #{inspect(seen)}")
    end
  end

  defp increment(object, nodes, times) do
    options = [servers: urls(nodes), idempotency_key: :generate]

    for _ <- 1..times//1, reduce: nil do
      _last ->
        assert {:ok, %{"version" => version}} = Object.call(object, "increment", %{}, options)
        version
    end
  end

  defp urls(nodes), do: Enum.map(nodes, & &1.url)

  describe "of three nodes" do
    setup do
      nodes = Cluster.start()
      on_exit(fn -> Enum.each(nodes, &Node.remove/1) end)
      {:ok, nodes: nodes}
    end

    test "the one that a socket is connected to is killed, and leads or does not", %{
      nodes: [_, second, third]
    } do
      objects = [own, other] = for number <- [2, 3], do: Cluster.led_by(third, "counter", number)

      sockets =
        for object <- objects do
          {:ok, socket} = Socket.open(object, [servers: urls([second, third])] ++ @soon)
          assert_event(object, {:init, %{version: 0}})
          assert increment(object, [third], 20) == 20
          assert versions(object, 20) == Enum.to_list(1..20)
          assert "http://" <> Socket.peer(socket) == second.url
          socket
        end

      Node.kill(second)

      for object <- [other, own] do
        assert increment(object, [third], 20) == 40
        assert versions(object, 40) == Enum.to_list(21..40)
        assert_received {:stead, ^object, {:down, _}}
        assert_received {:stead, ^object, {:resumed, _}}
      end

      for socket <- sockets, do: assert("http://" <> Socket.peer(socket) == third.url)
      assert {:ok, %{version: 40, state: %{"value" => 40}}} = Socket.snapshot(hd(sockets))
    end

    test "the leader is killed while the socket's node lives: the socket stays", %{
      nodes: [first, second, third]
    } do
      object = Cluster.led_by(first, "counter", 3)
      {:ok, socket} = Socket.open(object, servers: urls([second, first]))
      assert_event(object, {:init, _})
      assert {:ok, %{"version" => 1}} = Socket.call(socket, "increment")
      Node.kill(third)
      # Over the same socket: it waits for the next leader.
      assert {:ok, %{"version" => 2}} = Socket.call(socket, "increment", %{}, idempotency_key: "two")
      assert increment(object, [first, third], 10) == 12
      assert versions(object, 12) == Enum.to_list(1..12)
      refute_received {:stead, ^object, {:down, _}}
      assert "http://" <> Socket.peer(socket) == second.url
    end

    test "one is killed, one stopped, under calls: each is done once", %{
      nodes: [first, second, third] = nodes
    } do
      object = Cluster.led_by(first, "counter", 2)
      {:ok, socket} = Socket.open(object, [servers: urls([second, third, first])] ++ @soon)
      assert_event(object, {:init, _})
      stop = :atomics.new(1, [])
      callers = for _ <- 1..4, do: Task.async(fn -> call_until(socket, stop) end)
      assert_event(object, {:update, %{version: 20}})
      Node.kill(second)
      assert_event(object, {:down, _})
      assert_event(object, {:resumed, before}, 20_000)
      again = Node.start_again(second)
      on_exit(fn -> Node.remove(again) end)
      Eventually.get("the node to be well again", fn -> Node.get(first, "/v1/cluster")["state"] == "ok" end)
      Node.stop(third)
      assert_event(object, {:down, %Error{code: "closed", detail: "the server closed: 1001" <> _}}, 20_000)
      assert_event(object, {:resumed, later}, 20_000)
      assert later > before
      assert_receive {:stead, ^object, {:update, %{version: version}}} when version > later + 20, 20_000
      :atomics.put(stop, 1, 1)

      replies = callers |> Task.await_many(60_000) |> List.flatten()
      assert Enum.reject(replies, &match?({:ok, _}, &1)) == []
      count = length(replies)
      assert Enum.sort(for {:ok, reply} <- replies, do: reply["version"]) == Enum.to_list(1..count)
      assert Enum.sort(for {:ok, reply} <- replies, do: reply["result"]["value"]) == Enum.to_list(1..count)
      assert {:ok, %{"state" => %{"value" => ^count}}} = Object.get(object, servers: urls(nodes))
      # The first and the last that this test waited for were taken out above.
      {:messages, messages} = Process.info(self(), :messages)
      heard = for {:stead, ^object, {:update, %{version: version}}} <- messages, do: version
      assert length(heard) == count - 2
      assert heard == Enum.sort(Enum.uniq(heard))
    end
  end

  # Calls, one after the other with a short pause, until the flag is set.
  defp call_until(socket, stop, replies \\ []) do
    if :atomics.get(stop, 1) == 0 do
      reply = Socket.call(socket, "increment", %{}, idempotency_key: :generate)
      Process.sleep(5)
      call_until(socket, stop, [reply | replies])
    else
      replies
    end
  end

  test "a node alone is killed and started again: its sockets come back" do
    node = Node.start()
    on_exit(fn -> Node.remove(node) end)
    {:ok, _socket} = Socket.open("counter/a", [servers: node.url] ++ @soon)
    assert_event("counter/a", {:init, _})
    assert increment("counter/a", [node], 3) == 3
    Node.kill(node)
    assert_event("counter/a", {:down, _})
    again = Node.start_again(node)
    on_exit(fn -> Node.remove(again) end)
    assert increment("counter/a", [again], 3) == 6
    assert versions("counter/a", 6) == Enum.to_list(1..6)
  end
end
