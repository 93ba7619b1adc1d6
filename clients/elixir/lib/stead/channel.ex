if Code.ensure_loaded?(Phoenix.Channel) do
  defmodule Stead.Channel do
    @moduledoc """
    A Phoenix channel for objects of the class `object`, on the topics `durable_object:{id}`.

        channel "durable_object:*", Stead.Channel

    in the application's socket is all it takes, and `config :stead, servers: [...]`. All who join the same topic share
    one `Stead.Socket`.

    | event | payload | reply |
    |---|---|---|
    | join | any | `{"state": {...}, "version": v}` |
    | `call_method` | `{"method", "params"?, "idempotency_key"?}` | `{"success": true, "result": r, ...}` as `Stead.Client.call_method/5` |
    | `update_state` | `{"key", "value"}` | `{}` |
    | `refresh_state` | any | `{}`, and a push of the whole state |

    Pushed are `state_updated` with the keys that a commit changed (a deleted one is `null`), or all keys after
    `refresh_state`, and `deleted` with the version when the object is deleted. Errors reply `{"reason", "code"}`.

    Whoever may open the application's socket may do all that. To decide by topic, let a channel of one's own decide and
    hand over:

        defmodule MyAppWeb.ObjectChannel do
          use Phoenix.Channel

          def join("durable_object:" <> id = topic, params, socket) do
            if MyApp.may_edit?(socket.assigns.user, id),
              do: Stead.Channel.join(topic, params, socket),
              else: {:error, %{reason: "not allowed", code: "forbidden"}}
          end

          defdelegate handle_in(event, payload, socket), to: Stead.Channel
          defdelegate handle_info(message, socket), to: Stead.Channel
        end
    """

    use Phoenix.Channel

    alias Stead.{Client, Error, Object, Request, Socket}

    # How long a lost socket is not asked for again, in milliseconds: it ended for good, or by a bug.
    @reopen_ms 1_000

    @impl true
    def join("durable_object:" <> id, _params, socket) do
      with {:ok, stead} <- Socket.open({"object", id}),
           {:ok, %{state: %{} = state, version: version}} <- Socket.snapshot(stead) do
        Process.monitor(stead)

        {:ok, %{state: state, version: version},
         assign(socket, :stead, %{id: id, socket: stead, version: version})}
      else
        {:ok, %{state: nil}} ->
          {:error, %{reason: "the state is too large for one answer", code: "state_too_large"}}

        {:error, error} ->
          {:error, payload(error)}
      end
    end

    @impl true
    def handle_in("call_method", %{"method" => method} = payload, socket) do
      options = if key = payload["idempotency_key"], do: [idempotency_key: key], else: []
      params = payload["params"] || %{}
      {:reply, reply_of(Client.call_method(servers(), id(socket), method, params, options)), socket}
    end

    def handle_in("update_state", %{"key" => key, "value" => value}, socket) do
      with {:ok, _written} <- Client.update_state(servers(), id(socket), key, value) do
        {:reply, {:ok, %{}}, socket}
      else
        {:error, error} -> {:reply, {:error, payload(error)}, socket}
      end
    end

    def handle_in("refresh_state", _payload, socket) do
      case current(id(socket)) do
        {:ok, state, version} ->
          push(socket, "state_updated", state)
          # What the socket has yet to tell up to that version is older than what was just pushed.
          {:reply, {:ok, %{}}, seen(socket, version)}

        {:error, error} ->
          {:reply, {:error, payload(error)}, socket}
      end
    end

    def handle_in(event, _payload, socket) do
      {:reply, {:error, %{reason: "there is no #{event} with this payload", code: "invalid_request"}}, socket}
    end

    @impl true
    def handle_info({:stead, "object/" <> _, event}, socket), do: {:noreply, happened(event, socket)}

    def handle_info({:DOWN, _monitor, :process, pid, reason}, %{assigns: %{stead: %{socket: pid}}} = socket) do
      case reason do
        # The server wants no such socket. Who joins again is told why.
        {:shutdown, {:closed, _error}} ->
          {:stop, {:shutdown, :closed}, socket}

        _ ->
          Process.send_after(self(), :reopen_stead, @reopen_ms)
          {:noreply, socket}
      end
    end

    def handle_info(:reopen_stead, socket) do
      case Socket.open({"object", id(socket)}) do
        {:ok, stead} ->
          Process.monitor(stead)
          {:noreply, reopened(stead, socket)}

        {:error, _error} ->
          {:stop, {:shutdown, :closed}, socket}
      end
    end

    def handle_info(_other, socket), do: {:noreply, socket}

    # A socket that others opened meanwhile has had its first event.
    defp reopened(stead, socket) do
      socket = assign(socket, :stead, %{socket.assigns.stead | socket: stead})

      case Socket.snapshot(stead) do
        {:ok, %{state: %{} = state, version: version}} ->
          happened({:init, %{version: version, state: state, gone: []}}, socket)

        _ ->
          socket
      end
    end

    defp happened({:init, %{state: %{} = state, version: version, gone: gone}}, socket) do
      # The first state is the join's reply; a later one, of the same version or not, is all there is.
      if version == socket.assigns.stead.version and gone == [] do
        socket
      else
        push(socket, "state_updated", Map.merge(Map.new(gone, &{&1, nil}), state))
        assign(socket, :stead, %{socket.assigns.stead | version: version})
      end
    end

    defp happened({:update, %{version: version} = update}, socket) do
      if version > socket.assigns.stead.version do
        push(socket, "state_updated", Map.merge(Map.new(update.deleted, &{&1, nil}), update.changes))
        seen(socket, version)
      else
        socket
      end
    end

    defp happened({:deleted, %{version: version}}, socket) do
      if version > socket.assigns.stead.version do
        push(socket, "deleted", %{version: version})
        seen(socket, version)
      else
        socket
      end
    end

    defp happened(_down_or_resumed, socket), do: socket

    defp current(id) do
      case Object.get({"object", id}) do
        {:ok, %{"state" => state, "version" => version}} -> {:ok, state, version}
        # Never written, or deleted: what is known of its version stands.
        {:error, %Error{code: "object_not_found"}} -> {:ok, %{}, 0}
        {:error, error} -> {:error, error}
      end
    end

    defp seen(socket, version) do
      stead = socket.assigns.stead
      assign(socket, :stead, %{stead | version: max(version, stead.version)})
    end

    defp id(socket), do: socket.assigns.stead.id
    defp servers, do: Request.servers([])

    defp reply_of({:ok, body}), do: {:ok, body}
    defp reply_of({:error, error}), do: {:error, payload(error)}

    defp payload(%Error{code: code, detail: detail}), do: %{reason: detail, code: code}
  end
end
