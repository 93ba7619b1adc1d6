defmodule Stead.JSONTest do
  # It changes the configuration.
  use ExUnit.Case

  alias Stead.JSON

  @term %{
    "text" => "ü👋\"\\\n\u0001",
    "numbers" => [0, -1, 1.5, 9_223_372_036_854_775_807],
    "words" => [true, false, nil],
    "nested" => %{"empty" => %{}, "list" => []}
  }

  test "whichever library is there writes and reads the same" do
    assert [_ | _] = JSON.present()

    for adapter <- JSON.present() do
      {:ok, text} = adapter.encode(@term)
      assert adapter.decode(IO.iodata_to_binary(text)) == {:ok, @term}, inspect(adapter)
      {:ok, text} = adapter.encode(%{atom: :atom, at: ~U[2026-11-25 13:00:00Z], none: nil})

      assert adapter.decode(IO.iodata_to_binary(text)) ==
               {:ok, %{"atom" => "atom", "at" => "2026-11-25T13:00:00Z", "none" => nil}}

      for broken <- ["", "{", "[1,]", "{} x", <<34, 255, 34>>],
          do: assert({:error, _} = adapter.decode(broken))

      for not_json <- [{1, 2}, self(), %URI{}], do: assert({:error, _} = adapter.encode(%{a: [not_json]}))
    end
  end

  test "another is set by its name" do
    defmodule Loud do
      @behaviour Stead.JSON
      @impl true
      def encode(_term), do: {:ok, "LOUD"}
      @impl true
      def decode(_text), do: {:ok, :loud}
    end

    assert JSON.adapter() == hd(JSON.present())
    Application.put_env(:stead, :json, Loud)
    on_exit(fn -> Application.delete_env(:stead, :json) end)
    assert JSON.encode(1) == {:ok, "LOUD"}
    assert JSON.decode("1") == {:ok, :loud}
  end
end
