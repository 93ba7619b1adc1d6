defmodule Stead.Events do
  @moduledoc """
  What happens to objects, by topic, to whoever in this application wants to know.

  Events go through Phoenix.PubSub if the application has one, else through a `Registry` of this package:

      config :stead, pubsub: MyApp.PubSub

  They stay on this node of the BEAM: each node that wants them opens sockets of its own, so nobody gets one twice.

  | topic | message | when |
  |---|---|---|
  | `object:{class}/{name}` | `{:stead, "class/name", event}` | a `Stead.Socket` has an event |
  | `durable_object:{id}` | `{:durable_object_update, id, changes}` | an object of class `object` changed; a deleted key is `nil` |
  | `durable_objects:initialized` | `%{object_id, response, timestamp}` | `Stead.Client.initialize/4` succeeded |
  | `durable_objects:method_called` | `%{object_id, method, params, response, timestamp}` | `Stead.Client.call_method/5` succeeded |
  | `durable_objects:websocket_opened` | `%{object_id, timestamp}` | `Stead.Client.open_websocket/3` succeeded |

  The last three arrive as `{:event, topic, map}`.
  """

  require Logger

  # The application may have it or not.
  @compile {:no_warn_undefined, Phoenix.PubSub}

  @registry Stead.Events.Registry

  @doc "Sends the calling process what happens on a topic, from now on."
  @spec subscribe(String.t()) :: :ok | {:error, term()}
  def subscribe(topic) do
    case pubsub() do
      nil -> with {:ok, _owner} <- Registry.register(@registry, topic, nil), do: :ok
      pubsub -> Phoenix.PubSub.subscribe(pubsub, topic)
    end
  end

  @doc "Ends what `subscribe/1` began."
  @spec unsubscribe(String.t()) :: :ok
  def unsubscribe(topic) do
    case pubsub() do
      nil -> Registry.unregister(@registry, topic)
      pubsub -> Phoenix.PubSub.unsubscribe(pubsub, topic)
    end
  end

  @doc false
  @spec broadcast(String.t(), map()) :: :ok
  def broadcast(topic, event) when is_map(event), do: send_all(topic, {:event, topic, event})

  @doc false
  @spec send_all(String.t(), term()) :: :ok
  def send_all(topic, message) do
    dispatch(topic, message)
  rescue
    # Whoever did the thing that is told of did it all the same.
    error in ArgumentError ->
      Logger.error(
        "stead: nobody hears of #{topic}, for #{inspect(pubsub())} does not run: #{Exception.message(error)}"
      )
  end

  defp dispatch(topic, message) do
    case pubsub() do
      nil ->
        Registry.dispatch(@registry, topic, fn subscribers ->
          for {pid, _value} <- subscribers, do: send(pid, message)
        end)

      pubsub ->
        Phoenix.PubSub.local_broadcast(pubsub, topic, message)
        :ok
    end
  end

  @doc false
  def child_spec(_options), do: Registry.child_spec(keys: :duplicate, name: @registry)

  defp pubsub, do: Application.get_env(:stead, :pubsub)
end
