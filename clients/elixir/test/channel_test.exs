defmodule Stead.ChannelTest do
  # It finds its servers in the configuration, so it runs by itself.
  use Stead.Test.Case

  alias Stead.{Channel, Object}
  alias Stead.Test.ChannelProcess

  setup %{url: url, id: id} do
    Application.put_env(:stead, :servers, [url])
    on_exit(fn -> Application.delete_env(:stead, :servers) end)
    {:ok, topic: "durable_object:" <> id, object: "object/" <> id}
  end

  test "join, call, update, refresh; what others do is pushed", %{topic: topic, object: object} do
    {:ok, _} = Object.put(object, %{value: 1})
    channel = ChannelProcess.join(Channel, topic)
    assert_receive {:joined, {:ok, %{state: %{"value" => 1}, version: 1}}}

    assert ChannelProcess.ask(channel, "call_method", %{
             "method" => "increment",
             "params" => %{"increment" => 4}
           }) ==
             {:ok,
              %{
                "success" => true,
                "result" => %{"key" => "value", "value" => 5},
                "key" => "value",
                "value" => 5
              }}

    assert_receive {:pushed, "state_updated", %{"value" => 5} = pushed} when map_size(pushed) == 1
    assert ChannelProcess.ask(channel, "update_state", %{"key" => "k", "value" => [1]}) == {:ok, %{}}
    assert_receive {:pushed, "state_updated", %{"k" => [1]}}
    {:ok, _} = Object.delete_key(object, "k")
    assert_receive {:pushed, "state_updated", %{"k" => nil}}
    assert ChannelProcess.ask(channel, "refresh_state", %{}) == {:ok, %{}}
    assert_receive {:pushed, "state_updated", %{"value" => 5}}
    {:ok, _} = Object.delete(object)
    assert_receive {:pushed, "deleted", %{version: 5}}
    {:ok, _} = Object.put(object, %{value: 9})
    assert_receive {:pushed, "state_updated", %{"value" => 9}}
    refute_received {:pushed, _, _}
  end

  test "an object that was never written", %{topic: topic} do
    channel = ChannelProcess.join(Channel, topic)
    assert_receive {:joined, {:ok, %{state: none, version: 0}}} when none == %{}
    assert ChannelProcess.ask(channel, "refresh_state", %{}) == {:ok, %{}}
    assert_receive {:pushed, "state_updated", none} when none == %{}
  end

  test "an idempotency key in a call", %{topic: topic} do
    channel = ChannelProcess.join(Channel, topic)
    call = %{"method" => "increment", "idempotency_key" => "k"}
    assert {:ok, %{"value" => 1}} = ChannelProcess.ask(channel, "call_method", call)
    assert {:ok, %{"value" => 1}} = ChannelProcess.ask(channel, "call_method", call)
  end

  test "errors say why, and with which code", %{topic: topic} do
    channel = ChannelProcess.join(Channel, topic)

    assert {:error, %{reason: "Method not found", code: "method_not_found"}} =
             ChannelProcess.ask(channel, "call_method", %{"method" => "fly"})

    assert {:error, %{code: "refused", reason: reason}} =
             ChannelProcess.ask(channel, "call_method", %{
               "method" => "increment",
               "params" => %{"increment" => "x"}
             })

    assert reason =~ "increment"

    assert {:error, %{code: "invalid_request"}} =
             ChannelProcess.ask(channel, "call_method", %{"params" => %{}})

    assert {:error, %{code: "invalid_request"}} = ChannelProcess.ask(channel, "dance", %{})

    assert {:error, %{code: "invalid_request"}} =
             ChannelProcess.ask(channel, "update_state", %{"key" => "a b", "value" => 1})
  end

  test "a server that is not there" do
    Application.put_env(:stead, :servers, [])
    ChannelProcess.join(Channel, "durable_object:a")
    assert_receive {:joined, {:error, %{code: "invalid_request", reason: reason}}}
    assert reason =~ "config :stead"
  end

  test "two channels share a socket; each hears each commit once", %{topic: topic, object: object} do
    [one, two] = for _ <- 1..2, do: ChannelProcess.join(Channel, topic)
    assert ChannelProcess.assigns(one).stead.socket == ChannelProcess.assigns(two).stead.socket
    {:ok, _} = Object.put(object, %{value: 1})
    for _ <- 1..2, do: assert_receive({:pushed, "state_updated", %{"value" => 1}})
    {:ok, _} = Object.call(object, "increment")
    for _ <- 1..2, do: assert_receive({:pushed, "state_updated", %{"value" => 2}})
    refute_received {:pushed, _, _}
  end

  test "a socket that dies of a bug is opened again, and what was missed is pushed", %{
    topic: topic,
    object: object
  } do
    channel = ChannelProcess.join(Channel, topic)
    socket = ChannelProcess.assigns(channel).stead.socket
    Process.exit(socket, :kill)
    {:ok, _} = Object.put(object, %{value: 1})
    assert_receive {:pushed, "state_updated", %{"value" => 1}}, 10_000
    {:ok, _} = Object.call(object, "increment")
    assert_receive {:pushed, "state_updated", %{"value" => 2}}, 10_000
    refute_received {:pushed, _, _}
  end

  test "what is older than what was pushed is not pushed", %{topic: topic, object: object} do
    {:ok, _} = Object.put(object, %{value: 1})
    {:ok, _} = Object.put(object, %{value: 2})
    channel = ChannelProcess.join(Channel, topic)
    assert_receive {:joined, {:ok, %{version: 2}}}
    # As when a refresh, which asks the object itself, has overtaken the socket.
    send(channel, {:stead, object, {:update, %{version: 2, changes: %{"value" => 0}, deleted: []}}})
    send(channel, {:stead, object, {:deleted, %{version: 2, gone: []}}})
    assert ChannelProcess.ask(channel, "update_state", %{"key" => "k", "value" => 1}) == {:ok, %{}}
    assert_receive {:pushed, event, pushed}
    assert {event, pushed} == {"state_updated", %{"k" => 1}}
  end
end
