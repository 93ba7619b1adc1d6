defmodule Phoenix.Channel do
  @moduledoc """
  Stands in for Phoenix where it cannot be had: just what `Stead.Channel` uses of it, under the same names.

  What is here behaves as Phoenix 1.7.24 does, with which `Stead.Channel` was checked by hand.
  """

  @type reply :: {status :: atom(), map()} | atom()

  @callback join(topic :: String.t(), payload :: term(), Phoenix.Socket.t()) ::
              {:ok, map(), Phoenix.Socket.t()} | {:error, map()}
  @callback handle_in(String.t(), term(), Phoenix.Socket.t()) ::
              {:noreply, Phoenix.Socket.t()} | {:reply, reply(), Phoenix.Socket.t()}
  @callback handle_info(term(), Phoenix.Socket.t()) ::
              {:noreply, Phoenix.Socket.t()} | {:stop, term(), Phoenix.Socket.t()}

  defmacro __using__(_options) do
    quote do
      @behaviour Phoenix.Channel
      import Phoenix.Channel
      import Phoenix.Socket
    end
  end

  @doc "Sends to the client of one channel."
  def push(%Phoenix.Socket{transport_pid: transport}, event, payload) when is_map(payload) do
    send(transport, {:pushed, event, payload})
    :ok
  end
end
