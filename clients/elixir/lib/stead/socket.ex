defmodule Stead.Socket do
  @moduledoc """
  A process that follows one object over a WebSocket, for as long as it lives.

  It reconnects by itself (500 ms, doubling to 30 s, each pause a random half shorter; several servers are tried in
  turn) and resumes with the last version it saw: every update arrives once and in order, whichever node died in between.
  Where the server's history no longer reaches back that far it gets the whole state, and says so with `:init`.

  `open/2` shares one socket among all who follow the same object on the same servers, and closes it when the last of
  them is gone. Under a supervisor of one's own a socket stays:

      children = [
        {Stead.Socket, object: "counter/visits", servers: ["http://10.0.0.1:8080", "http://10.0.0.2:8080"]}
      ]

  ## Events

  Each subscriber gets `{:stead, "class/name", event}` messages; so does the topic `object:class/name` of `Stead.Events`.

    * `{:init, %{version: v, state: map, gone: keys}}` - the whole state; `gone` are the keys that were there before and
      are not any more. `state` is `nil` above 16 MiB.
    * `{:update, %{version: v, changes: map, deleted: keys, cleared: boolean, method: m, by: who, timestamp: t, delta: d}}` -
      one for each commit. `deleted` names what a clear took, too. Of a document's text `delta` has the edits.
    * `{:deleted, %{version: v, gone: keys}}` - the object was deleted
    * `{:down, error}` - the connection broke; it is coming back
    * `{:resumed, v}` - it came back; the updates after `v` follow
    * `{:closed, error}` - the server wants no such socket (no such class, not allowed, too large a frame); the process ends

  ## Options

    * `:object` - `"class/name"` or `{class, name}`
    * `:servers` - one address or several; without it `config :stead, servers: [...]`
    * `:since` - a version that its owner has seen: updates after it come first, and no state
    * `:name` - a name for the process
    * `:ping_interval` - 30 s; a connection on which nothing came for two of them is taken for dead, in milliseconds
    * `:backoff_initial`, `:backoff_max` - 500 and 30 000, in milliseconds
    * `:token`, `:tls` - as in `Stead.Client`
  """

  alias Stead.{Error, HTTP, Object, Request, Server}

  # How long a shared socket without subscribers stays, in milliseconds: pages are left and entered again.
  @linger_ms 5_000
  # The longest frame that the server takes, in bytes.
  @frame_max_bytes 4 * 1024 * 1024
  @call_timeout_ms 15_000
  # How often an opener may meet a shared socket that is just ending.
  @open_attempts 3

  @type options :: [
          object: Object.name(),
          servers: String.t() | [String.t()],
          since: non_neg_integer(),
          name: GenServer.name(),
          ping_interval: pos_integer(),
          backoff_initial: pos_integer(),
          backoff_max: pos_integer(),
          token: String.t(),
          tls: keyword()
        ]
  @type snapshot :: %{version: non_neg_integer(), state: map() | nil}

  @doc "A socket under a supervisor. One that the server closed for good is not started again."
  @spec child_spec(options()) :: Supervisor.child_spec()
  def child_spec(options) do
    id = {__MODULE__, Keyword.get(options, :name, options[:object])}
    %{id: id, start: {__MODULE__, :start_link, [options]}, restart: :transient}
  end

  @doc "Starts a socket that stays, linked to the caller."
  @spec start_link(options()) :: GenServer.on_start()
  def start_link(options) do
    GenServer.start_link(Stead.Socket.Process, options, Keyword.take(options, [:name]))
  end

  @doc """
  Opens a socket, or finds the one that follows this object already, and subscribes the caller.

  It returns at once; `snapshot/2` waits for the state. A shared socket has the options of who opened it first.
  """
  @spec open(Object.name(), options()) :: {:ok, pid()} | {:error, Error.t()}
  def open(object, options \\ []) do
    with {:ok, {class, name}} <- Object.parse(object),
         {:ok, servers} <- Server.parse_all(Request.servers(options)) do
      key = {class, name, servers, options[:token], options[:since]}

      shared = [
        name: {:via, Registry, {Stead.Socket.Registry, key}},
        object: {class, name},
        linger: @linger_ms,
        subscriber: self()
      ]

      open_shared(Keyword.merge(options, shared), @open_attempts)
    end
  end

  @doc "Sends the caller the events of a socket, from the next one on."
  @spec subscribe(GenServer.server()) :: :ok
  def subscribe(socket), do: GenServer.call(socket, :subscribe)

  @doc "Ends what `subscribe/1` or `open/2` began."
  @spec unsubscribe(GenServer.server()) :: :ok
  def unsubscribe(socket), do: GenServer.call(socket, :unsubscribe)

  @doc """
  The state at the last version seen. Waits for the first state; events up to that version were sent before it, those
  after it are yet to come.
  """
  @spec snapshot(GenServer.server(), timeout_ms :: pos_integer()) :: {:ok, snapshot()} | {:error, Error.t()}
  def snapshot(socket, timeout_ms \\ @call_timeout_ms) do
    GenServer.call(socket, {:snapshot, HTTP.now() + timeout_ms}, timeout_ms)
  catch
    :exit, {:timeout, _} ->
      {:error, %Error{code: "timeout", detail: "no state came in #{timeout_ms} ms", retry: :safe}}

    :exit, _gone ->
      {:error, closed("the socket is closed")}
  end

  @doc """
  Calls a method of the object: `{:ok, %{"result" => result, "version" => version}}`.

  Its update comes before its reply. Options: `:timeout`, 15 s by default, in milliseconds, and `:idempotency_key`,
  a text or `:generate`: with one, a call whose connection broke is sent again on the next, and done once.
  """
  @spec call(GenServer.server(), String.t(), map(),
          timeout: pos_integer(),
          idempotency_key: String.t() | :generate
        ) ::
          {:ok, map()} | {:error, Error.t()}
  def call(socket, method, params \\ %{}, options \\ []) do
    timeout_ms = Keyword.get(options, :timeout, @call_timeout_ms)
    id = System.unique_integer([:positive, :monotonic])

    with {:ok, key} <- Request.idempotency_key(options),
         {:ok, frame} <- call_frame(id, method, params, key) do
      # The socket answers in time; a bound here would only leave its answer in the mailbox.
      GenServer.call(socket, {:call, id, frame, key != nil, timeout_ms}, :infinity)
    end
  catch
    :exit, _gone -> {:error, closed("the socket ended before the reply came")}
  end

  @doc "Whether a connection stands."
  @spec status(GenServer.server()) :: :connecting | :connected
  def status(socket), do: GenServer.call(socket, :status)

  @doc "The address that the connection goes to, or is tried at, as `host:port`."
  @spec peer(GenServer.server()) :: String.t()
  def peer(socket), do: GenServer.call(socket, :peer)

  @doc "Closes the socket, for all who share it."
  @spec close(GenServer.server()) :: :ok
  def close(socket), do: GenServer.stop(socket, :normal)

  defp open_shared(_options, 0), do: {:error, closed("the socket closes as often as it is opened")}

  defp open_shared(options, attempts) do
    case DynamicSupervisor.start_child(Stead.Socket.Supervisor, {__MODULE__, options}) do
      # It subscribed the caller before it did anything else.
      {:ok, socket} -> {:ok, socket}
      {:error, {:already_started, socket}} -> subscribe_shared(socket, options, attempts)
      {:error, reason} -> {:error, closed("no socket: #{inspect(reason)}")}
    end
  end

  defp subscribe_shared(socket, options, attempts) do
    :ok = subscribe(socket)
    {:ok, socket}
  catch
    :exit, _it_just_ended -> open_shared(options, attempts - 1)
  end

  defp call_frame(id, method, params, key) do
    frame = %{"type" => "call", "id" => id, "method" => method, "params" => params}
    frame = if key, do: Map.put(frame, "idempotency_key", key), else: frame

    case Stead.JSON.encode(frame) do
      {:ok, text} ->
        if IO.iodata_length(text) <= @frame_max_bytes,
          do: {:ok, text},
          else: {:error, Error.invalid("a call is at most #{@frame_max_bytes} bytes")}

      {:error, reason} ->
        {:error, Error.invalid("there is no JSON for what was given: #{inspect(reason)}")}
    end
  end

  defp closed(detail), do: %Error{code: "closed", detail: detail, retry: :unknown}
end
