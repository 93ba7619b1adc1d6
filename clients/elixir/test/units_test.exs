defmodule Stead.UnitsTest do
  use ExUnit.Case, async: true

  alias Stead.{Backoff, Error, Server}
  alias Stead.Socket.{Delta, Replica}

  doctest Stead.Error

  test "pauses double up to a bound, each at most a half shorter, and not all alike" do
    for {failures, whole} <- [
          {0, 500},
          {1, 1_000},
          {2, 2_000},
          {5, 16_000},
          {6, 30_000},
          {7, 30_000},
          {1_000_000, 30_000}
        ] do
      delays = for _ <- 1..200, do: Backoff.delay_ms(failures, 500, 30_000)
      assert Enum.all?(delays, &(&1 > whole / 2 and &1 <= whole))
      assert length(Enum.uniq(delays)) > 50
    end

    assert Backoff.delay_ms(0, 1, 1) in 1..2
  end

  test "addresses" do
    for {text, tls?, host, port, path, authority} <- [
          {"http://a", false, "a", 80, "", "a:80"},
          {"https://a.b/", true, "a.b", 443, "", "a.b:443"},
          {"ws://a:1/k/t/", false, "a", 1, "/k/t", "a:1"},
          {"wss://[::1]:8080", true, "::1", 8080, "", "[::1]:8080"}
        ] do
      assert {:ok, server} = Server.parse(text)
      assert server == %Server{tls?: tls?, host: host, port: port, path: path}
      assert Server.authority(server) == authority
    end

    for wrong <- ["", "a:80", "http://", "ftp://a", "http://a?b", "http://a#b", "http://a b", nil, 5] do
      assert {:error, %Error{code: "invalid_request", retry: :never}} = Server.parse(wrong)
    end

    assert {:ok, [%{host: "a"}, %{host: "b"}]} = Server.parse_all(["http://a", "http://b"])
    assert {:error, %Error{}} = Server.parse_all(["http://a", "b"])
  end

  test "edits of a text count UTF-16 units" do
    assert Delta.apply("", [%{"insert" => "ü👋"}]) == {:ok, "ü👋"}
    assert Delta.apply("ü👋x", [%{"retain" => 3}, %{"insert" => "✓"}, %{"delete" => 1}]) == {:ok, "ü👋✓"}
    assert Delta.apply("abc", [%{"retain" => 4}]) == :error
    # Half a character.
    assert Delta.apply("👋", [%{"delete" => 1}]) == :error
    assert Delta.apply("abc", [%{"insert" => %{"image" => "x"}}]) == :error
  end

  test "a clear takes all keys that are not put again" do
    {:ok, _, replica} =
      Replica.take(%Replica{}, %{"type" => "init", "version" => 3, "state" => %{"a" => 1, "b" => 2}})

    frame = %{
      "type" => "update",
      "version" => 4,
      "cleared" => true,
      "changes" => %{"b" => 5},
      "deleted" => []
    }

    assert {:ok, {:update, %{cleared: true, deleted: ["a"], changes: %{"b" => 5}}}, replica} =
             Replica.take(replica, frame)

    assert replica == %Replica{version: 4, state: %{"b" => 5}}
  end

  test "frames that are not known change nothing; updates before the state are a gap" do
    for type <- ["pong", "presence", "subscribed"],
        do: assert(Replica.take(%Replica{}, %{"type" => type}) == :nothing)

    assert Replica.take(%Replica{}, %{}) == :nothing
    assert Replica.take(%Replica{}, %{"type" => "update", "version" => 1}) == :gap
    assert Replica.take(%Replica{}, %{"type" => "resumed", "version" => 1}) == :gap
  end

  # A document whose edits do not fit what is known of it: its text is not known any more, its version is.
  test "edits that do not fit" do
    replica = %Replica{version: 1, state: %{"content" => "a"}}

    frame = %{
      "type" => "update",
      "version" => 2,
      "changes" => %{},
      "deleted" => [],
      "delta" => [%{"retain" => 9}]
    }

    assert {:ok, {:update, _}, %Replica{version: 2, state: nil}} = Replica.take(replica, frame)
  end
end
