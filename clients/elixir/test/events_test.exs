defmodule Stead.EventsTest do
  # It changes the configuration.
  use Stead.Test.Case

  alias Stead.{Client, Events, Socket}

  test "through the application's PubSub, if it has one", %{url: url, id: id} do
    start_supervised!({Phoenix.PubSub, name: Stead.Test.PubSub})
    Application.put_env(:stead, :pubsub, Stead.Test.PubSub)
    on_exit(fn -> Application.delete_env(:stead, :pubsub) end)

    :ok = Phoenix.PubSub.subscribe(Stead.Test.PubSub, "durable_object:" <> id)
    :ok = Events.subscribe("durable_objects:initialized")
    start_supervised!({Socket, object: {"object", id}, servers: url})
    assert_receive {:durable_object_update, ^id, %{}}, 5_000
    {:ok, _} = Client.initialize(url, id, %{value: 1})
    assert_receive {:durable_object_update, ^id, %{"value" => 1}}, 5_000
    assert_receive {:event, "durable_objects:initialized", %{object_id: ^id}}
    :ok = Events.unsubscribe("durable_objects:initialized")
    {:ok, _} = Client.initialize(url, id, %{value: 2})
    assert_receive {:durable_object_update, ^id, %{"value" => 2}}, 5_000
    refute_received {:event, _, _}
  end

  test "a PubSub that does not run harms nobody", %{url: url, id: id} do
    Application.put_env(:stead, :pubsub, Stead.Test.NoPubSub)
    on_exit(fn -> Application.delete_env(:stead, :pubsub) end)
    assert {:ok, %{"success" => true}} = Client.initialize(url, id, %{value: 1})
    {:ok, socket} = Client.open_websocket(url, id)
    assert {:ok, %{version: 1}} = Socket.snapshot(socket)
  end
end
