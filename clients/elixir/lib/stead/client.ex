defmodule Stead.Client do
  @moduledoc """
  Durable objects by URL and id, with the functions that clients of Cloudflare's worker have.

  Code written for such a client moves over by its alias:

      alias Stead.Client

      {:ok, _} = Client.initialize(worker_url, "counter", %{value: 0})
      {:ok, result} = Client.call_method(worker_url, "counter", "increment", %{increment: 1})
      result["value"]
      {:ok, socket} = Client.open_websocket(worker_url, "counter")

  `worker_url` is a server's address, or a list of addresses of one cluster. The requests are those of the
  worker-compatible API, and so are the answers: `{:ok, body}`, the body decoded with text keys, or
  `{:error, %Stead.Error{}}`. An id is the name of an object of the class `object`; that API does not decode
  its paths, so ids and keys with other than visible ASCII, and ids with a `/`, are refused here: `Stead.Object` has
  those, and versions, other classes and lists.

  Every function takes these options last:

    * `:timeout` - how long all attempts may take together, 15 s by default, in milliseconds
    * `:retries` - attempts after the first, 3 by default; see below
    * `:idempotency_key` - a text of up to 255 visible ASCII characters, or `:generate`: under it the server does a
      call once, however often it comes
    * `:token` - sent as `Authorization: Bearer`
    * `:tls` - options of `:ssl`, for `https`

  A request is sent again only where that cannot do a thing twice: nothing of it was sent, the server said that
  it did not happen, it is a read, or it has an idempotency key. No redirect is followed.

  Where `Stead.Events` are listened to, `initialize`, `call_method` and `open_websocket` tell of themselves on the
  topics `durable_objects:initialized`, `durable_objects:method_called` and `durable_objects:websocket_opened`.
  """

  alias Stead.{Error, Events, Request}

  @class "object"

  @type worker_url :: String.t() | [String.t()]
  @type object_id :: String.t()
  @type answer :: {:ok, map()} | {:error, Error.t()}
  @type options :: Request.options()

  @doc """
  Puts each key of `data`; other keys stay. The first write makes the object.

  `{:ok, %{"success" => true}}`.
  """
  @spec initialize(worker_url(), object_id(), map(), options()) :: answer()
  def initialize(worker_url, object_id, data, options \\ []) do
    with {:ok, id} <- id(object_id),
         :ok <- is(is_map(data), "the initial state is a map"),
         {:ok, response} <- ask(:write, "POST", "/initialize/#{id}", data, worker_url, options) do
      tell("initialized", %{object_id: object_id, response: response})
      {:ok, response}
    end
  end

  @doc """
  Calls a method.

  `{:ok, %{"success" => true, "result" => result}}` and, where the result is an object, its keys beside those:
  `result["value"]` of an `increment`.
  """
  @spec call_method(worker_url(), object_id(), String.t(), map(), options()) :: answer()
  def call_method(worker_url, object_id, method, params \\ %{}, options \\ []) do
    with {:ok, id} <- id(object_id),
         {:ok, part} <- part(method, "a method"),
         :ok <- is(is_map(params), "parameters are a map"),
         {:ok, response} <- ask(:write, "POST", "/object/#{id}/method/#{part}", params, worker_url, options) do
      tell("method_called", %{object_id: object_id, method: method, params: params, response: response})
      {:ok, response}
    end
  end

  @doc """
  Reads the state, `{:ok, %{"data" => state}}`, or one key of it, `{:ok, %{"key" => key, "value" => value}}`.
  """
  @spec get_state(worker_url(), object_id(), String.t() | nil, options()) :: answer()
  def get_state(worker_url, object_id, key \\ nil, options \\ [])

  def get_state(worker_url, object_id, nil, options) do
    with {:ok, id} <- id(object_id) do
      ask(:read, "GET", "/object/#{id}/state", nil, worker_url, options)
    end
  end

  def get_state(worker_url, object_id, key, options) do
    with {:ok, id} <- id(object_id), {:ok, key} <- part(key, "a key") do
      ask(:read, "GET", "/object/#{id}/state/#{key}", nil, worker_url, options)
    end
  end

  @doc "Puts a key, `{:ok, %{\"success\" => true, \"key\" => key}}`."
  @spec update_state(worker_url(), object_id(), String.t(), term(), options()) :: answer()
  def update_state(worker_url, object_id, key, value, options \\ []) do
    with {:ok, id} <- id(object_id), {:ok, key} <- part(key, "a key") do
      ask(:write, "PUT", "/object/#{id}/state/#{key}", %{"value" => value}, worker_url, options)
    end
  end

  @doc "Deletes a key, whether or not it is there: `{:ok, %{\"success\" => true, \"key\" => key}}`."
  @spec delete_state(worker_url(), object_id(), String.t(), options()) :: answer()
  def delete_state(worker_url, object_id, key, options \\ []) do
    with {:ok, id} <- id(object_id), {:ok, key} <- part(key, "a key") do
      ask(:write, "DELETE", "/object/#{id}/state/#{key}", nil, worker_url, options)
    end
  end

  @doc "A stable opaque id of a pair of names, `{:ok, id}`."
  @spec get_namespace_object(worker_url(), String.t(), String.t(), options()) ::
          {:ok, String.t()} | {:error, Error.t()}
  def get_namespace_object(worker_url, namespace, name, options \\ []) do
    with {:ok, namespace} <- id(namespace), {:ok, name} <- id(name) do
      ask(:read, "GET", "/namespace/#{namespace}/id/#{name}", nil, worker_url, options)
    end
  end

  @doc """
  Opens a socket that follows an object, and subscribes the caller to it.

  Who opens the same object on the same servers shares the socket. The caller then gets `{:stead, object, event}`
  messages; `Stead.Socket` has the events and what else a socket can do, and takes the options.
  """
  @spec open_websocket(worker_url(), object_id(), Stead.Socket.options()) ::
          {:ok, pid()} | {:error, Error.t()}
  def open_websocket(worker_url, object_id, options \\ []) do
    with :ok <- is(is_binary(object_id), "an id is a text"),
         {:ok, socket} <- Stead.Socket.open({@class, object_id}, [{:servers, worker_url} | options]) do
      tell("websocket_opened", %{object_id: object_id})
      {:ok, socket}
    end
  end

  defp ask(effect, verb, path, body, worker_url, options) do
    with {:ok, decoded, _headers} <- Request.run(effect, verb, path, body, [{:servers, worker_url} | options]) do
      {:ok, decoded}
    end
  end

  defp tell(what, event) do
    Events.broadcast("durable_objects:#{what}", Map.put(event, :timestamp, DateTime.utc_now()))
  end

  defp id(id) do
    with {:ok, id} <- part(id, "an id"),
         :ok <- is(not String.contains?(id, "/"), "an id has no / here"),
         do: {:ok, id}
  end

  # What a path can carry as it stands: visible ASCII that begins no query and no fragment.
  defp part(part, what) do
    if is_binary(part) and part =~ ~r/\A[!-~]+\z/ and not String.contains?(part, ["?", "#"]) do
      {:ok, part}
    else
      {:error,
       Error.invalid("#{what} is visible ASCII without ? and # here, not #{inspect(part)}; see Stead.Object")}
    end
  end

  defp is(true, _detail), do: :ok
  defp is(false, detail), do: {:error, Error.invalid(detail)}
end
