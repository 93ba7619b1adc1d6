defmodule Stead.FailoverTest do
  use Stead.Test.Case

  alias Stead.{Object, Socket}

  # Every update, once and in order, from after `version` to `last`; the events between are passed over.
  defp versions(object, last, seen \\ []) do
    receive do
      {:stead, ^object, {:update, %{version: version} = update}} ->
        assert update.changes["value"] == version
        if version == last, do: Enum.reverse([version | seen]), else: versions(object, last, [version | seen])

      {:stead, ^object, {:init, %{version: version}}} ->
        flunk("the whole state at #{version}, where updates were to follow")

      {:stead, ^object, _other} ->
        versions(object, last, seen)
    after
      20_000 -> flunk("no update after #{inspect(seen)}")
    end
  end

  defp increment(object, nodes, times) do
    for _ <- 1..times//1 do
      {:ok, %{"version" => version}} =
        Object.call(object, "increment", %{}, servers: Enum.map(nodes, & &1.url), idempotency_key: :generate)

      version
    end
    |> List.last()
  end

  setup do
    nodes = Cluster.start()
    on_exit(fn -> Enum.each(nodes, &Node.remove/1) end)
    {:ok, nodes: nodes}
  end

  test "the node of a socket is killed: it comes back through another, and misses nothing", %{nodes: nodes} do
    [_first, second, third] = nodes
    # Led by the node that stays, then by the one that is killed.
    for number <- [3, 2] do
      object = Cluster.led_by(third, "counter", number)
      {:ok, socket} = Socket.open(object, servers: [second.url, third.url], backoff_initial: 50)
      assert_event(object, {:init, %{version: 0, state: %{}}})
      assert increment(object, [third], 20) == 20
      assert versions(object, 20) == Enum.to_list(1..20)
      assert "http://" <> Socket.peer(socket) == second.url

      if number == 2 do
        Node.kill(second)
        assert increment(object, [third], 20) == 40
        assert versions(object, 40) == Enum.to_list(21..40)
        assert "http://" <> Socket.peer(socket) == third.url
        assert Socket.status(socket) == :connected
      end
    end
  end
end
