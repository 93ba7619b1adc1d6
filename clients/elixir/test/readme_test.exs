defmodule Stead.ReadmeTest do
  # The README's sessions, typed as they are printed, one after the other.
  use Stead.Test.Case

  @readme Path.expand("../README.md", __DIR__)

  test "the sessions do what they say", %{url: url} do
    text = @readme |> File.read!() |> String.replace("http://127.0.0.1:8080", url)

    steps =
      for [_, block] <- Regex.scan(~r/```elixir\n(iex>.*?)```/s, text),
          step <- String.split(block, ~r/^iex> /m, trim: true),
          do: step

    assert length(steps) >= 20

    Enum.reduce(steps, [], fn step, binding ->
      [typed | printed] = String.split(step, "\n", parts: 2)
      {result, binding} = Code.eval_string(typed, binding)

      case String.trim(Enum.join(printed)) do
        "" -> :ok
        expected -> assert {typed, result} == {typed, expected |> Code.eval_string() |> elem(0)}
      end

      binding
    end)
  end
end
