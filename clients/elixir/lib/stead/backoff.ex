defmodule Stead.Backoff do
  @moduledoc false
  # Pauses that double up to a bound, each a random half shorter: clients that lost the same server do not
  # come back at the same moment.

  @doc "The pause after so many failures, in milliseconds."
  @spec delay_ms(failures :: non_neg_integer(), initial_ms :: pos_integer(), max_ms :: pos_integer()) ::
          pos_integer()
  def delay_ms(failures, initial_ms, max_ms) do
    # Beyond 2^20 every bound is reached, and numbers stay small.
    whole = min(initial_ms * Integer.pow(2, min(failures, 20)), max_ms)
    half = max(div(whole, 2), 1)
    half + :rand.uniform(half)
  end
end
