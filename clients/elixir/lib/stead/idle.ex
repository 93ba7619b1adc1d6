defmodule Stead.Idle do
  @moduledoc false
  # Connections between two requests.
  #
  # This process owns them while nobody uses them, and whoever takes one owns it: so it is closed with its user,
  # however that ends. They are kept for less time than servers wait for a next request, and one that the server has closed
  # is not given out, so that a request is hardly ever sent into a connection that is being closed.

  use GenServer

  alias Stead.{Server, Transport}

  # Stead waits 10 s for a next request, in milliseconds.
  @kept_ms 4_000
  # Connections kept to one server; more are closed.
  @kept_max 64

  @doc "A connection that stands, now the caller's."
  @spec take(Server.t(), keyword()) :: {:ok, Transport.t()} | :none
  def take(server, tls), do: GenServer.call(__MODULE__, {:take, {server, tls}})

  @doc "Gives the caller's connection back. All that was asked on it is answered and read."
  @spec put(Server.t(), keyword(), Transport.t()) :: :ok
  def put(server, tls, connection) do
    case Transport.hand_over(connection, Process.whereis(__MODULE__)) do
      :ok -> GenServer.cast(__MODULE__, {:put, {server, tls}, connection})
      {:error, _it_is_closed} -> Transport.close(connection)
    end
  end

  @spec start_link(term()) :: GenServer.on_start()
  def start_link(_options), do: GenServer.start_link(__MODULE__, %{}, name: __MODULE__)

  @impl true
  def init(kept), do: {:ok, kept}

  @impl true
  def handle_call({:take, key}, {pid, _tag}, kept) do
    {found, rest} = find(Map.get(kept, key, []), pid)
    {:reply, found, store(kept, key, rest)}
  end

  @impl true
  def handle_cast({:put, key, connection}, kept) do
    connections = Map.get(kept, key, [])

    if length(connections) < @kept_max do
      timer = Process.send_after(self(), {:expired, key, connection}, @kept_ms)
      # The last one used is the first one taken: those that are not needed expire.
      {:noreply, store(kept, key, [{connection, timer} | connections])}
    else
      Transport.close(connection)
      {:noreply, kept}
    end
  end

  @impl true
  def handle_info({:expired, key, connection}, kept) do
    case List.keytake(Map.get(kept, key, []), connection, 0) do
      {_expired, rest} ->
        Transport.close(connection)
        {:noreply, store(kept, key, rest)}

      # Taken in the meantime.
      nil ->
        {:noreply, kept}
    end
  end

  def handle_info(_other, kept), do: {:noreply, kept}

  defp find([], _pid), do: {:none, []}

  defp find([{connection, timer} | rest], pid) do
    Process.cancel_timer(timer)

    # Nothing is to be read from a connection that stands, not even its end.
    with {:error, :timeout} <- Transport.recv(connection, 0, 0),
         :ok <- Transport.hand_over(connection, pid) do
      {{:ok, connection}, rest}
    else
      _closed ->
        Transport.close(connection)
        find(rest, pid)
    end
  end

  defp store(kept, key, []), do: Map.delete(kept, key)
  defp store(kept, key, connections), do: Map.put(kept, key, connections)
end
