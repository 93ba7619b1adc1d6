defmodule Stead.ObjectTest do
  use Stead.Test.Case, async: true

  alias Stead.Object

  setup %{url: url, id: id} do
    {:ok, o: [servers: url], id: id, object: "object/" <> id}
  end

  test "from the first write to the deletion", %{o: o, object: object, id: id} do
    assert {:error, %Error{status: 404, code: "object_not_found", retry: :never}} = Object.get(object, o)

    assert {:ok, %{"class" => "object", "name" => ^id, "version" => 1}} =
             Object.put(object, %{a: 1, b: %{c: nil}}, o)

    assert {:ok, %{"version" => 1, "state" => %{"a" => 1, "b" => %{"c" => nil}}}} = Object.get(object, o)

    assert {:ok, %{"result" => %{"value" => 2}, "version" => 2}} =
             Object.call(object, "increment", %{key: "a"}, o)

    assert {:ok, %{"key" => "a", "value" => 2, "version" => 2}} = Object.get_key(object, "a", o)
    assert {:ok, %{"key" => "d", "version" => 3}} = Object.put_key(object, "d", [1.5], o)
    assert {:ok, %{"version" => 4}} = Object.delete_key(object, "d", o)
    assert {:error, %Error{status: 404, code: "key_not_found"}} = Object.delete_key(object, "d", o)
    assert {:ok, %{"updates" => [_, _, _], "version" => 4, "complete" => true}} = Object.updates(object, 1, o)
    assert {:ok, %{"updates" => [%{"version" => 2}]}} = Object.updates(object, 1, [{:limit, 1} | o])
    assert {:ok, %{"leader" => 1, "replicas" => [1]}} = Object.location(object, o)
    assert Object.delete(object, o) == {:ok, %{"version" => 5}}
    assert {:error, %Error{code: "object_not_found"}} = Object.get(object, o)
  end

  test "conditions", %{o: o, object: object} do
    assert {:ok, %{"version" => 1}} = Object.put_key(object, "k", 1, [{:if_match, 0} | o])

    assert {:error, %Error{status: 412, code: "version_mismatch", retry: :never}} =
             Object.put_key(object, "k", 2, [{:if_match, 0} | o])

    assert {:ok, %{"version" => 2}} = Object.put_key(object, "k", 2, [{:if_match, 1} | o])
  end

  test "an idempotency key stands for one call", %{o: o, object: object} do
    keyed = [{:idempotency_key, "k"} | o]
    assert {:ok, first} = Object.call(object, "increment", %{}, keyed)
    assert Object.call(object, "increment", %{}, keyed) == {:ok, first}

    assert {:error, %Error{status: 422, code: "idempotency_key_reused", retry: :never}} =
             Object.call(object, "increment", %{increment: 2}, keyed)
  end

  test "names and keys of any kind", %{o: o, id: id} do
    for name <- ["#{id} a/b?c#d%20", "ü✓#{id}"], key <- ["a b/c", "%2F", "ключ"] do
      assert {:ok, _} = Object.put_key({"object", name}, key, name, o)
      assert {:ok, %{"key" => ^key, "value" => ^name}} = Object.get_key("object/" <> name, key, o)
      assert {:ok, %{"name" => ^name}} = Object.get("object/" <> name, o)
    end
  end

  test "pages of objects and of keys", %{o: o, id: id} do
    for n <- 1..5, do: {:ok, _} = Object.put({"object", "#{id} #{n}"}, %{}, o)

    assert {:ok, %{"objects" => first, "cursor" => cursor}} =
             Object.list("object", [prefix: id <> " ", limit: 3] ++ o)

    assert {:ok, %{"objects" => more, "cursor" => nil}} =
             Object.list("object", [prefix: id <> " ", cursor: cursor] ++ o)

    assert for(object <- first ++ more, do: object["name"]) == for(n <- 1..5, do: "#{id} #{n}")

    {:ok, _} = Object.put({"object", id}, Map.new(1..5, &{"k#{&1}", &1}), o)

    assert {:ok, %{"entries" => [_, _] = first, "cursor" => cursor}} =
             Object.entries({"object", id}, [{:limit, 2} | o])

    assert {:ok, %{"entries" => [_, _, _], "version" => 1}} =
             Object.entries({"object", id}, [{:cursor, cursor} | o])

    assert first == [%{"key" => "k1", "value" => 1}, %{"key" => "k2", "value" => 2}]
  end

  test "errors of the server", %{o: o} do
    assert {:error, %Error{status: 404, code: "class_not_found"}} = Object.get("nothing/a", o)
    assert {:error, %Error{status: 404, code: "method_not_found"}} = Object.call("counter/a", "fly", %{}, o)

    assert {:error, %Error{status: 422, code: "invalid_parameters", detail: detail, retry: :never}} =
             Object.call("counter/a", "increment", %{by: 0.5}, o)

    assert detail =~ "whole number"
  end

  test "integers keep all their digits", %{o: o, object: object} do
    big = 9_007_199_254_740_993
    {:ok, _} = Object.put_key(object, "n", big, o)
    assert {:ok, %{"value" => ^big}} = Object.get_key(object, "n", o)
  end
end
