defmodule Stead.Test.Case do
  @moduledoc "A test that uses the common server: its `url`, and an object `id` of its own."

  use ExUnit.CaseTemplate

  using do
    quote do
      import Stead.Test.Case
      alias Stead.Error
      alias Stead.Test.{Cluster, Eventually, Node, Script}
    end
  end

  setup context do
    url = Application.get_env(:stead, :test_node).url
    id = "#{context.module |> Module.split() |> List.last()}-#{System.unique_integer([:positive])}"
    {:ok, url: url, id: id}
  end

  @doc "The next event of an object that is of a kind, or fails."
  defmacro assert_event(object, pattern, timeout_ms \\ 5_000) do
    quote do
      object = unquote(object)
      assert_receive {:stead, ^object, unquote(pattern)}, unquote(timeout_ms)
    end
  end
end
