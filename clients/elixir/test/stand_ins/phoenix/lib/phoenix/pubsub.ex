defmodule Phoenix.PubSub do
  @moduledoc "Stands in for Phoenix's; see `Phoenix.Channel` here."

  def child_spec(options), do: Registry.child_spec(keys: :duplicate, name: Keyword.fetch!(options, :name))

  def subscribe(pubsub, topic) do
    {:ok, _owner} = Registry.register(pubsub, topic, nil)
    :ok
  end

  def unsubscribe(pubsub, topic), do: Registry.unregister(pubsub, topic)

  def local_broadcast(pubsub, topic, message) do
    Registry.dispatch(pubsub, topic, fn subscribers ->
      for {pid, nil} <- subscribers, do: send(pid, message)
    end)
  end
end
