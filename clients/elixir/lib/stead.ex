defmodule Stead do
  @moduledoc """
  Client of Stead, the stateful object server.

  | module | for |
  |---|---|
  | `Stead` | the functions of `Stead.Client` with the server's address from options or the configuration |
  | `Stead.Client` | durable objects by URL and id, as clients of Cloudflare's worker know them |
  | `Stead.Object` | objects of every class: versions, conditions, lists, history |
  | `Stead.Socket` | a process that follows an object, and resumes whatever dies in between |
  | `Stead.Events` | what happens to objects, on Phoenix.PubSub or a `Registry` |
  | `Stead.Channel` | a Phoenix channel `durable_object:*` |
  | `Stead.Error` | why something failed, and whether it may be asked again |

  Configuration, all of it optional:

      config :stead,
        # One address or several nodes of one cluster, which are tried in turn.
        servers: ["http://10.0.0.1:8080", "http://10.0.0.2:8080"],
        token: "...",
        tls: [cacertfile: "/etc/ssl/own.pem"],
        pubsub: MyApp.PubSub,
        json: MyApp.JSON

  The functions here take the address as the option `:servers` or `:worker_url`, or from the configuration:

      {:ok, _} = Stead.initialize("counter", %{value: 0})
      {:ok, %{"value" => 1}} = Stead.call_method("counter", "increment", %{increment: 1})
  """

  alias Stead.{Client, Error, Request}

  @type answer :: Client.answer()
  @type options :: Client.options()

  @doc "See `Stead.Client.initialize/4`."
  @spec initialize(String.t(), map(), options()) :: answer()
  def initialize(object_id, data, options \\ []) do
    Client.initialize(Request.servers(options), object_id, data, options)
  end

  @doc "See `Stead.Client.call_method/5`."
  @spec call_method(String.t(), String.t(), map(), options()) :: answer()
  def call_method(object_id, method, params \\ %{}, options \\ []) do
    Client.call_method(Request.servers(options), object_id, method, params, options)
  end

  @doc "See `Stead.Client.get_state/4`."
  @spec get_state(String.t(), String.t() | nil | options(), options()) :: answer()
  def get_state(object_id, key \\ nil, options \\ [])

  def get_state(object_id, options, []) when is_list(options), do: get_state(object_id, nil, options)

  def get_state(object_id, key, options) do
    Client.get_state(Request.servers(options), object_id, key, options)
  end

  @doc "See `Stead.Client.update_state/5`."
  @spec update_state(String.t(), String.t(), term(), options()) :: answer()
  def update_state(object_id, key, value, options \\ []) do
    Client.update_state(Request.servers(options), object_id, key, value, options)
  end

  @doc "See `Stead.Client.delete_state/4`."
  @spec delete_state(String.t(), String.t(), options()) :: answer()
  def delete_state(object_id, key, options \\ []) do
    Client.delete_state(Request.servers(options), object_id, key, options)
  end

  @doc "See `Stead.Client.get_namespace_object/4`."
  @spec get_namespace_object(String.t(), String.t(), options()) :: {:ok, String.t()} | {:error, Error.t()}
  def get_namespace_object(namespace, name, options \\ []) do
    Client.get_namespace_object(Request.servers(options), namespace, name, options)
  end

  @doc "See `Stead.Client.open_websocket/3`."
  @spec open_websocket(String.t(), Stead.Socket.options()) :: {:ok, pid()} | {:error, Error.t()}
  def open_websocket(object_id, options \\ []) do
    Client.open_websocket(Request.servers(options), object_id, options)
  end
end
