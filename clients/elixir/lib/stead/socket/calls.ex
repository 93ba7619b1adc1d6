defmodule Stead.Socket.Calls do
  @moduledoc false
  # The calls of a socket that wait for their replies. Pure: what is to be sent and answered is returned.
  #
  # A call that was not sent waits for the next connection. One that was sent when the connection broke may have
  # happened: with an idempotency key it is sent again, without one its caller is told that nobody knows.

  # Calls of one socket that may wait at once.
  @waiting_max 1_024

  defstruct waiting: %{}

  @typedoc "Whom to answer: a `GenServer.from()`."
  @type from :: term()
  @typedoc "`:before`: on a connection that broke."
  @type sent :: :no | :now | :before
  @type call :: %{from: from(), frame: iodata(), repeatable?: boolean(), timer: reference(), sent: sent()}
  @type t :: %__MODULE__{waiting: %{integer() => call()}}

  @doc "Whether there is room for another."
  @spec full?(t()) :: boolean()
  def full?(calls), do: map_size(calls.waiting) >= @waiting_max

  @spec empty?(t()) :: boolean()
  def empty?(calls), do: map_size(calls.waiting) == 0

  @doc "Adds a call."
  @spec add(t(), integer(), call()) :: t()
  def add(calls, id, call), do: %{calls | waiting: Map.put(calls.waiting, id, call)}

  @doc "Takes a call out, for its reply has come or its time is over."
  @spec take(t(), term()) :: {call() | nil, t()}
  def take(calls, id) do
    {call, waiting} = Map.pop(calls.waiting, id)
    {call, %{calls | waiting: waiting}}
  end

  @doc "Notes that all calls are sent, and gives the frames of those that were not, the oldest first."
  @spec send_all(t()) :: {[iodata()], t()}
  def send_all(calls) do
    # Ids grow with time.
    unsent = for {id, call} <- calls.waiting, call.sent != :now, do: {id, call.frame}
    waiting = Map.new(calls.waiting, fn {id, call} -> {id, %{call | sent: :now}} end)
    {unsent |> Enum.sort() |> Enum.map(&elem(&1, 1)), %{calls | waiting: waiting}}
  end

  @doc "Notes that the connection broke: the calls of which nobody knows whether they happened are taken out."
  @spec lost(t()) :: {[call()], t()}
  def lost(calls) do
    {unknown, kept} =
      Enum.split_with(calls.waiting, fn {_id, call} -> call.sent == :now and not call.repeatable? end)

    waiting =
      Map.new(kept, fn {id, call} -> {id, if(call.sent == :now, do: %{call | sent: :before}, else: call)} end)

    {Enum.map(unknown, &elem(&1, 1)), %{calls | waiting: waiting}}
  end

  @doc "Takes all out."
  @spec take_all(t()) :: {[call()], t()}
  def take_all(calls), do: {Map.values(calls.waiting), %__MODULE__{}}
end
