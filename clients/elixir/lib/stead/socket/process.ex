defmodule Stead.Socket.Process do
  @moduledoc false
  # The process behind `Stead.Socket`: it carries out what happens to a connection, one message after the other.
  #
  # It is in one of three states: somebody connects for it (`opener`), a connection stands (`connection`; it is `ready?` once
  # its first frame has come), or a pause is made. What a frame means to the object is `Replica`'s to say, what becomes
  # of calls when a connection breaks is `Calls`'.

  use GenServer

  require Logger

  alias Stead.{Backoff, Error, Events, HTTP, Object, Request, Server, Transport}
  alias Stead.Socket.{Calls, Frame, Handshake, Replica}

  # How long a connection must have stood for its loss to be no sign of trouble, in milliseconds.
  @steady_ms 10_000
  # The shortest pause after the server said that there are too many sockets, in milliseconds.
  @crowded_ms 5_000
  # Close codes, and codes of refused handshakes, after which the same socket would be closed again.
  @final_closes [1007, 1009, 4401, 4403, 4404]
  @final_refusals ~w(class_not_found unauthenticated forbidden origin_not_allowed host_not_allowed invalid_request)
  @too_many 4529

  defstruct [
    :label,
    :class,
    :name,
    :path,
    :servers,
    :headers,
    :tls,
    :linger,
    :ping_interval,
    :backoff_initial,
    :backoff_max,
    # The process that connects, while one does.
    opener: nil,
    connection: nil,
    reader: nil,
    # When the connection stood, and when it last said something.
    connected_at: nil,
    heard_at: nil,
    # Whether its first frame has come: from then on calls are sent.
    ready?: false,
    # Which server is next, how many of them refused since one worked, how often a pause was made since.
    index: 0,
    refusals: 0,
    failures: 0,
    replica: %Replica{},
    calls: %Calls{},
    # By process, the monitor of it.
    subscribers: %{},
    # Who waits for the first state, and until when.
    waiting: []
  ]

  @impl true
  def init(options) do
    # So that the server is told when this process is ended.
    Process.flag(:trap_exit, true)

    with {:ok, {class, name}} <- Object.parse(options[:object]),
         {:ok, path} <- Object.path({class, name}),
         {:ok, servers} <- Server.parse_all(Request.servers(options)) do
      state = %__MODULE__{
        label: "#{class}/#{name}",
        class: class,
        name: name,
        path: path <> "/live",
        servers: servers,
        headers: Request.authorization(options),
        tls: Keyword.get(options, :tls, Application.get_env(:stead, :tls, [])),
        linger: options[:linger],
        ping_interval: Keyword.get(options, :ping_interval, 30_000),
        backoff_initial: Keyword.get(options, :backoff_initial, 500),
        backoff_max: Keyword.get(options, :backoff_max, 30_000),
        replica: %Replica{version: options[:since]},
        subscribers: Map.new(List.wrap(options[:subscriber]), &{&1, Process.monitor(&1)})
      }

      # Who opened it may be gone already.
      if state.linger, do: Process.send_after(self(), :alone, state.linger)
      {:ok, state, {:continue, :connect}}
    else
      {:error, error} -> {:stop, error}
    end
  end

  @impl true
  def handle_continue(:connect, state), do: {:noreply, connect(state)}

  @impl true
  def handle_call(:subscribe, {pid, _tag}, state) do
    subscribers = Map.put_new_lazy(state.subscribers, pid, fn -> Process.monitor(pid) end)
    {:reply, :ok, %{state | subscribers: subscribers}}
  end

  def handle_call(:unsubscribe, {pid, _tag}, state), do: {:reply, :ok, remove(state, pid)}

  def handle_call({:snapshot, deadline}, from, state) do
    now = HTTP.now()

    if state.ready? or state.replica.state != nil do
      {:reply, {:ok, Map.from_struct(state.replica)}, state}
    else
      # Who has given up is forgotten, so that an outage does not gather them.
      waiting = Enum.filter(state.waiting, fn {_from, deadline} -> deadline > now end)
      {:noreply, %{state | waiting: [{from, deadline} | waiting]}}
    end
  end

  def handle_call({:call, id, frame, repeatable?, timeout_ms}, from, state) do
    if Calls.full?(state.calls) do
      {:reply,
       {:error, %Error{code: "overloaded", detail: "too many calls wait on this socket", retry: :safe}},
       state}
    else
      timer = Process.send_after(self(), {:call_timeout, id}, timeout_ms)
      call = %{from: from, frame: frame, repeatable?: repeatable?, timer: timer, sent: :no}
      {:noreply, send_calls(%{state | calls: Calls.add(state.calls, id, call)})}
    end
  end

  def handle_call(:status, _from, state) do
    {:reply, if(state.ready?, do: :connected, else: :connecting), state}
  end

  def handle_call(:peer, _from, state), do: {:reply, Server.authority(server(state)), state}

  @impl true
  def handle_info({:DOWN, monitor, :process, pid, reason}, %{opener: {pid, monitor}} = state) do
    opened(%{state | opener: nil}, reason)
  end

  def handle_info({:DOWN, _monitor, :process, pid, _reason}, state), do: {:noreply, remove(state, pid)}
  # Openers are linked so that they end with this process; their monitors tell more.
  def handle_info({:EXIT, _pid, _reason}, state), do: {:noreply, state}
  def handle_info(:connect, state), do: {:noreply, connect(state)}
  def handle_info({:ping, connected_at}, state), do: ping(state, connected_at)

  def handle_info({:call_timeout, id}, state) do
    {call, calls} = Calls.take(state.calls, id)
    if call, do: GenServer.reply(call.from, {:error, late(call)})
    {:noreply, %{state | calls: calls}}
  end

  def handle_info(:alone, state) do
    cond do
      state.subscribers != %{} ->
        {:noreply, state}

      Calls.empty?(state.calls) ->
        {:stop, :normal, state}

      true ->
        Process.send_after(self(), :alone, state.linger)
        {:noreply, state}
    end
  end

  def handle_info(message, %{connection: connection} = state) when connection != nil do
    case Transport.message(connection, message) do
      {:bytes, bytes} -> heard(%{state | heard_at: HTTP.now()}, bytes)
      {:closed, reason} -> {:noreply, lost(state, broken("the connection broke: #{inspect(reason)}"))}
      :other -> {:noreply, state}
    end
  end

  def handle_info(_late, state), do: {:noreply, state}

  @impl true
  def terminate(_reason, state) do
    if state.connection do
      Transport.send(state.connection, Frame.encode_close(1000, ""))
      Transport.close(state.connection)
    end

    finish(state, closed("the socket was closed"))
  end

  # Connecting, in a process of its own: it may take long, and this one stays at hand.

  defp connect(%{opener: nil, connection: nil} = state) do
    {server, headers, tls} = {server(state), state.headers, state.tls}
    path = state.path <> if(state.replica.version, do: "?since=#{state.replica.version}", else: "")
    owner = self()

    opener =
      :erlang.spawn_opt(
        fn ->
          with {:ok, connection, read} <- Handshake.open(server, path, headers, tls),
               :ok <- Transport.hand_over(connection, owner) do
            exit({:shutdown, {:opened, connection, read}})
          else
            {:error, error} -> exit({:shutdown, {:failed, error}})
          end
        end,
        [:link, :monitor]
      )

    %{state | opener: opener}
  end

  defp connect(state), do: state

  defp opened(state, {:shutdown, {:opened, connection, read}}) do
    now = HTTP.now()
    Process.send_after(self(), {:ping, now}, state.ping_interval)

    heard(
      %{state | connection: connection, reader: Frame.reader(), connected_at: now, heard_at: now},
      read
    )
  end

  defp opened(state, {:shutdown, {:failed, %Error{code: code} = error}}) do
    if error.status != nil and code in @final_refusals,
      do: close_for_good(state, error),
      else: {:noreply, refused(state, error)}
  end

  defp opened(state, reason), do: {:noreply, refused(state, broken("no connection: #{inspect(reason)}"))}

  # The next server is asked at once until all were; then there is a pause.
  defp refused(state, error) do
    Logger.debug("stead: #{state.label} at #{Server.authority(server(state))}: #{Exception.message(error)}")
    state = %{state | index: state.index + 1, refusals: state.refusals + 1}

    if rem(state.refusals, length(state.servers)) == 0 do
      pause(state, error.retry_after_ms || 0)
    else
      connect(state)
    end
  end

  defp pause(state, least_ms) do
    delay_ms = Backoff.delay_ms(state.failures, state.backoff_initial, state.backoff_max)
    Process.send_after(self(), :connect, max(delay_ms, least_ms))
    %{state | failures: state.failures + 1}
  end

  defp lost(state, error, least_ms \\ 0) do
    Transport.close(state.connection)
    Logger.info("stead: #{state.label} lost #{Server.authority(server(state))}: #{Exception.message(error)}")
    {unknown, calls} = Calls.lost(state.calls)
    for call <- unknown, do: answer(call, {:error, outcome_unknown()})
    if state.ready?, do: tell(state, {:down, error})
    failures = if HTTP.now() - state.connected_at >= @steady_ms, do: 0, else: state.failures

    pause(
      %{
        state
        | connection: nil,
          reader: nil,
          ready?: false,
          calls: calls,
          failures: failures,
          refusals: 0,
          index: state.index + 1
      },
      least_ms
    )
  end

  defp close_for_good(state, error) do
    Logger.warning("stead: #{state.label} is closed for good: #{Exception.message(error)}")
    tell(state, {:closed, error})
    state = finish(state, error)
    {:stop, {:shutdown, {:closed, error}}, state}
  end

  defp finish(state, error) do
    {calls, none} = Calls.take_all(state.calls)
    for call <- calls, do: answer(call, {:error, if(call.sent == :no, do: error, else: outcome_unknown())})
    for {from, _deadline} <- state.waiting, do: GenServer.reply(from, {:error, error})
    %{state | calls: none, waiting: []}
  end

  defp server(state), do: Enum.at(state.servers, rem(state.index, length(state.servers)))

  # What comes.

  defp heard(state, bytes) do
    {messages, state, fault} =
      case Frame.read(state.reader, bytes) do
        {:ok, messages, reader} -> {messages, %{state | reader: reader}, nil}
        {:error, fault, messages} -> {messages, state, fault}
      end

    case Enum.reduce_while(messages, {:noreply, state}, &take/2) do
      {:noreply, %{connection: connection} = state} when connection != nil -> listen(state, fault)
      ended -> ended
    end
  end

  defp listen(state, nil) do
    case Transport.next(state.connection) do
      :ok -> {:noreply, state}
      {:error, reason} -> {:noreply, lost(state, broken("the connection broke: #{inspect(reason)}"))}
    end
  end

  defp listen(state, {code, reason}) do
    Transport.send(state.connection, Frame.encode_close(code, reason))
    {:noreply, lost(state, broken(reason))}
  end

  defp take({:text, text}, {:noreply, state}) do
    case Stead.JSON.decode(text) do
      {:ok, %{} = frame} -> go_on(receive_frame(state, frame))
      _ -> go_on(lost(state, broken("a frame is not a JSON object")))
    end
  end

  defp take({:ping, payload}, {:noreply, state}) do
    # If it cannot be sent, the connection says so itself.
    Transport.send(state.connection, Frame.encode(:pong, payload))
    {:cont, {:noreply, state}}
  end

  defp take({:close, code, reason}, {:noreply, state}) do
    Transport.send(state.connection, Frame.encode_close(if(code == 1005, do: 1000, else: code), ""))
    error = %Error{code: "closed", detail: "the server closed: #{code} #{reason}", retry: :safe}

    cond do
      code in @final_closes -> {:halt, close_for_good(state, %{error | retry: :never})}
      code == @too_many -> {:halt, {:noreply, lost(state, error, @crowded_ms)}}
      true -> {:halt, {:noreply, lost(state, error)}}
    end
  end

  defp take(_pong_or_bytes, {:noreply, state}), do: {:cont, {:noreply, state}}

  defp go_on(%{connection: nil} = state), do: {:halt, {:noreply, state}}
  defp go_on(state), do: {:cont, {:noreply, state}}

  defp receive_frame(state, %{"type" => "reply", "id" => id} = frame) do
    reply =
      case frame do
        %{"ok" => true} -> {:ok, Map.take(frame, ["result", "version"])}
        _ -> {:error, error(frame["error"] || %{})}
      end

    settle(state, id, reply)
  end

  defp receive_frame(state, %{"type" => "error"} = frame) do
    # What was not understood is a call of ours if it has an id.
    Logger.debug("stead: #{state.label}: #{inspect(frame)}")
    settle(state, frame["id"], {:error, error(Map.put(frame, "retry", "never"))})
  end

  defp receive_frame(state, frame) do
    case Replica.take(state.replica, frame) do
      {:ok, event, replica} -> happened(state, event, replica)
      :nothing -> state
      :gap -> lost(state, broken("an update is missing"))
    end
  end

  defp happened(state, event, replica) do
    tell(state, event)
    state = %{state | replica: replica}
    if elem(event, 0) in [:init, :resumed], do: ready(state), else: state
  end

  defp ready(state) do
    for {from, _deadline} <- state.waiting, do: GenServer.reply(from, {:ok, Map.from_struct(state.replica)})
    send_calls(%{state | ready?: true, refusals: 0, waiting: []})
  end

  defp send_calls(%{ready?: false} = state), do: state

  defp send_calls(state) do
    {frames, calls} = Calls.send_all(state.calls)
    # If they cannot be sent the connection says so itself, and they are of unknown outcome.
    if frames != [], do: Transport.send(state.connection, Enum.map(frames, &Frame.encode(:text, &1)))
    %{state | calls: calls}
  end

  defp settle(state, id, reply) do
    {call, calls} = Calls.take(state.calls, id)
    if call, do: answer(call, reply)
    %{state | calls: calls}
  end

  defp answer(call, reply) do
    Process.cancel_timer(call.timer)
    GenServer.reply(call.from, reply)
  end

  # A ping of our own brings an answer, so a connection that is alive is heard in every interval.
  defp ping(%{connected_at: connected_at, connection: connection} = state, connected_at)
       when connection != nil do
    if HTTP.now() - state.heard_at >= 2 * state.ping_interval do
      {:noreply, lost(state, broken("nothing was heard for two ping intervals"))}
    else
      Process.send_after(self(), {:ping, connected_at}, state.ping_interval)
      Transport.send(connection, Frame.encode(:ping, ""))
      {:noreply, state}
    end
  end

  defp ping(state, _of_an_earlier_connection), do: {:noreply, state}

  # Who is told.

  defp tell(state, event) do
    message = {:stead, state.label, event}
    for {pid, _monitor} <- state.subscribers, do: send(pid, message)
    Events.send_all("object:" <> state.label, message)
    changes = state.class == "object" && changes(event)

    if changes,
      do: Events.send_all("durable_object:" <> state.name, {:durable_object_update, state.name, changes})

    :ok
  end

  defp changes({:init, %{state: %{} = all, gone: gone}}), do: Map.merge(nils(gone), all)

  defp changes({:update, %{changes: changes, deleted: deleted}}),
    do: Map.merge(nils(deleted), changes)

  defp changes({:deleted, %{gone: gone}}), do: nils(gone)
  defp changes(_other), do: nil

  defp nils(keys), do: Map.new(keys, &{&1, nil})

  defp remove(state, pid) do
    {monitor, subscribers} = Map.pop(state.subscribers, pid)
    if monitor, do: Process.demonitor(monitor, [:flush])
    if subscribers == %{} and state.linger, do: Process.send_after(self(), :alone, state.linger)
    %{state | subscribers: subscribers}
  end

  # Errors.

  defp broken(detail), do: %Error{code: "connection_lost", detail: detail, retry: :safe}

  defp late(%{sent: :no}),
    do: %Error{code: "timeout", detail: "it was not sent: no connection stood", retry: :safe}

  defp late(_sent), do: %{outcome_unknown() | code: "timeout"}

  defp outcome_unknown do
    %Error{code: "outcome_unknown", detail: "it was sent, and no reply came", retry: :unknown}
  end

  defp error(frame) do
    %Error{
      code: frame["code"] || "internal",
      detail: frame["detail"] || "",
      retry: Error.parse_retry(frame["retry"], :unknown)
    }
  end

  defp closed(detail), do: %Error{code: "closed", detail: detail, retry: :unknown}
end
