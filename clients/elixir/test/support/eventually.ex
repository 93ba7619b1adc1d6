defmodule Stead.Test.Eventually do
  @moduledoc "Waits for a condition, with a deadline."

  @deadline_ms 20_000
  @between_ms 20

  @doc "What `function` returns once that is neither nil nor false."
  def get(what, function), do: get(what, function, System.monotonic_time(:millisecond) + @deadline_ms)

  defp get(what, function, deadline) do
    cond do
      found = function.() ->
        found

      System.monotonic_time(:millisecond) > deadline ->
        raise "waited #{@deadline_ms} ms in vain for #{what}"

      true ->
        Process.sleep(@between_ms)
        get(what, function, deadline)
    end
  end
end
