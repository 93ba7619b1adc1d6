defmodule Stead.Test.Cluster do
  @moduledoc "Three real servers, every shard on each, leaders spread over them."

  alias Stead.Test.{Eventually, Node}

  def start do
    first = Node.start()
    nodes = [first, Node.start(join: first), Node.start(join: first)]
    Eventually.get("the cluster to settle", fn -> settled?(first) end)
    nodes
  end

  @doc "The number of the node that leads an object, from 1, as `asked` says."
  def leader(asked, object) do
    Eventually.get("#{object} to be led", fn ->
      {:ok, location} = Stead.Object.location(object, servers: asked.url)
      location["leader"]
    end)
  end

  @doc "The name of an object of a class that this node leads."
  def led_by(asked, class, number) do
    Enum.find_value(1..500, fn count ->
      name = "#{class}/led-#{count}"
      if leader(asked, name) == number, do: name
    end)
  end

  defp settled?(node) do
    shards = Node.get(node, "/v1/shards")["shards"]
    voters = for shard <- shards, do: Enum.count(shard["replicas"], &(&1["role"] == "voter"))
    led = shards |> Enum.map(& &1["leader"]) |> Enum.frequencies()
    Enum.all?(voters, &(&1 == 3)) and map_size(Map.delete(led, nil)) == 3
  end
end
