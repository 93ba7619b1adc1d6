defmodule Stead.Socket.Replica do
  @moduledoc false
  # What a socket knows of its object: the last version it saw, and the state at that version. Pure.
  #
  # Versions follow one another, so a version that was seen is left out and a version too far is a gap, which is
  # told: nobody behind this sees an update twice, out of order, or misses one.

  alias Stead.Socket.Delta

  # `version` is nil before anything was seen. `state` is nil where it is not known: above 16 MiB, or when the
  # socket began with a version that its owner had seen.
  defstruct version: nil, state: nil

  @type t :: %__MODULE__{version: non_neg_integer() | nil, state: map() | nil}
  @type event ::
          {:init, %{version: non_neg_integer(), state: map() | nil, gone: [String.t()]}}
          | {:resumed, non_neg_integer()}
          | {:update, map()}
          | {:deleted, %{version: non_neg_integer(), gone: [String.t()]}}

  @doc "What a frame of the server does to the replica, and the event that it is."
  @spec take(t(), map()) :: {:ok, event(), t()} | :nothing | :gap
  def take(replica, %{"type" => "init", "version" => version} = frame) do
    state = frame["state"]
    gone = if state, do: keys(replica) -- Map.keys(state), else: []
    {:ok, {:init, %{version: version, state: state, gone: gone}}, %__MODULE__{version: version, state: state}}
  end

  def take(%{version: seen} = replica, %{"type" => "resumed"}) when is_integer(seen) do
    {:ok, {:resumed, seen}, replica}
  end

  def take(%{version: seen} = replica, %{"type" => type, "version" => version} = frame)
      when type in ["update", "deleted"] and is_integer(seen) do
    cond do
      version <= seen -> :nothing
      version > seen + 1 -> :gap
      type == "update" -> update(replica, frame)
      true -> deleted(replica, version)
    end
  end

  # Updates before the first state cannot be placed.
  def take(_replica, %{"type" => type}) when type in ["update", "deleted", "resumed"], do: :gap
  def take(_replica, _other), do: :nothing

  defp update(replica, frame) do
    changes = frame["changes"] || %{}
    cleared? = frame["cleared"] == true
    deleted = frame["deleted"] || []
    # After a clear, all that is not put again is gone.
    deleted = if cleared?, do: Enum.uniq(deleted ++ (keys(replica) -- Map.keys(changes))), else: deleted

    event = %{
      version: frame["version"],
      changes: changes,
      deleted: deleted,
      cleared: cleared?,
      delta: frame["delta"],
      method: frame["method"],
      by: frame["by"],
      timestamp: frame["timestamp"]
    }

    state = replica.state && replica.state |> Map.drop(deleted) |> Map.merge(changes) |> edit(frame["delta"])
    {:ok, {:update, event}, %__MODULE__{version: frame["version"], state: state}}
  end

  # A document's text comes as edits of it; one never written has none.
  defp edit(state, [_ | _] = delta) do
    case Delta.apply(Map.get(state, "content", ""), delta) do
      {:ok, content} -> Map.put(state, "content", content)
      :error -> nil
    end
  end

  defp edit(state, _none), do: state

  defp deleted(replica, version) do
    {:ok, {:deleted, %{version: version, gone: keys(replica)}}, %__MODULE__{version: version, state: %{}}}
  end

  defp keys(%{state: nil}), do: []
  defp keys(%{state: state}), do: Map.keys(state)
end
