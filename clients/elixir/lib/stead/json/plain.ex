defmodule Stead.JSON.Plain do
  @moduledoc false
  # Terms that an Erlang library can write: Elixir's dates and times as texts, as Jason has them. A struct of
  # another kind is refused, for nobody said how it is written.

  @spec of(term()) :: term()
  def of(%module{} = time) when module in [DateTime, NaiveDateTime, Date, Time], do: module.to_iso8601(time)
  def of(%module{}), do: raise(ArgumentError, "there is no JSON for the struct #{inspect(module)}")
  def of(map) when is_map(map), do: Map.new(map, fn {key, value} -> {key, of(value)} end)
  def of(list) when is_list(list), do: Enum.map(list, &of/1)
  def of(tuple) when is_tuple(tuple), do: raise(ArgumentError, "there is no JSON for a tuple")
  def of(other), do: other
end
