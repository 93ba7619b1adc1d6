defmodule Stead.ClientTest do
  use Stead.Test.Case, async: true

  alias Stead.{Client, Events}

  test "the session of the seed", %{url: worker_url, id: id} do
    {:ok, response} = Client.initialize(worker_url, id, %{value: 0})
    assert response == %{"success" => true}
    {:ok, result} = Client.call_method(worker_url, id, "increment", %{increment: 1})

    assert result == %{
             "success" => true,
             "result" => %{"key" => "value", "value" => 1},
             "key" => "value",
             "value" => 1
           }

    assert {:ok, socket} = Client.open_websocket(worker_url, id)
    assert is_pid(socket)
    assert_event("object/" <> id, {:init, %{version: 2, state: %{"value" => 1}, gone: []}})
  end

  test "a document, as in the seed", %{url: worker_url, id: id} do
    {:ok, _} = Client.initialize(worker_url, id, %{content: "Initial document content", version: 1})
    params = %{content: "Updated document content", version: 2}
    {:ok, result} = Client.call_method(worker_url, id, "update", params)
    assert result["content"] == "Updated document content"
    assert result["version"] == 2

    assert {:error, %Error{status: 409, code: "conflict", retry: :never}} =
             Client.call_method(worker_url, id, "update", %{content: "late", version: 2})
  end

  test "state and its keys", %{url: url, id: id} do
    assert Client.get_state(url, id) == {:ok, %{"data" => %{}}}
    assert Client.update_state(url, id, "a/b", [1, nil, "ü"]) == {:ok, %{"success" => true, "key" => "a/b"}}
    assert Client.update_state(url, id, "none", nil) == {:ok, %{"success" => true, "key" => "none"}}
    assert Client.get_state(url, id) == {:ok, %{"data" => %{"a/b" => [1, nil, "ü"], "none" => nil}}}
    assert Client.get_state(url, id, "a/b") == {:ok, %{"key" => "a/b", "value" => [1, nil, "ü"]}}
    assert Client.delete_state(url, id, "a/b") == {:ok, %{"success" => true, "key" => "a/b"}}
    assert Client.delete_state(url, id, "a/b") == {:ok, %{"success" => true, "key" => "a/b"}}
    assert Client.get_state(url, id, nil, timeout: 5_000) == {:ok, %{"data" => %{"none" => nil}}}
  end

  test "errors", %{url: url, id: id} do
    assert {:error,
            %Error{status: 404, code: "key_not_found", detail: "Key not found", retry: :never} = error} =
             Client.get_state(url, id, "absent")

    assert Error.reason(error) == :not_found

    assert {:error, %Error{status: 404, code: "method_not_found", detail: "Method not found", retry: :never}} =
             Client.call_method(url, id, "nothing")

    # Refusals and bugs are alike in the worker's API.
    assert {:error, %Error{status: 500, code: "refused", detail: detail, retry: :unknown} = error} =
             Client.call_method(url, id, "increment", %{increment: "many"})

    assert detail =~ "increment"
    assert Error.reason(error) == :server_error
    assert_raise Error, ~r/refused: /, fn -> raise error end
  end

  test "what such paths cannot carry is refused here", %{url: url} do
    for id <- ["", "two words", "ü", "a/b", "a?b", "a#b", nil] do
      assert {:error, %Error{status: nil, code: "invalid_request", retry: :never}} = Client.get_state(url, id)
    end

    assert {:error, %Error{code: "invalid_request"}} = Client.get_state(url, "a", "two words")
    assert {:error, %Error{code: "invalid_request"}} = Client.initialize(url, "a", [1])
    assert {:error, %Error{code: "invalid_request"}} = Client.call_method(url, "a", "echo", nil)
    assert {:error, %Error{code: "invalid_request"}} = Client.open_websocket(url, nil)
  end

  test "with an idempotency key a call is done once", %{url: url, id: id} do
    for _ <- 1..3 do
      assert {:ok, %{"value" => 1}} = Client.call_method(url, id, "increment", %{}, idempotency_key: "once")
    end

    assert {:error, %Error{status: 422, code: "idempotency_key_reused", retry: :never}} =
             Client.call_method(url, id, "increment", %{increment: 2}, idempotency_key: "once")

    assert {:ok, %{"value" => 2}} = Client.call_method(url, id, "increment", %{}, idempotency_key: :generate)
  end

  test "the id of a pair of names", %{url: url} do
    assert {:ok, <<_::binary-size(64)>> = id} = Client.get_namespace_object(url, "rooms", "lobby")
    assert Client.get_namespace_object(url, "rooms", "lobby") == {:ok, id}
  end

  test "what succeeded is told on the seed's topics", %{url: url, id: id} do
    for what <- ~w(initialized method_called websocket_opened),
        do: :ok = Events.subscribe("durable_objects:" <> what)

    {:ok, _} = Client.initialize(url, id, %{})
    {:ok, _} = Client.call_method(url, id, "echo", %{"a" => 1})
    {:ok, _} = Client.open_websocket(url, id)

    assert_receive {:event, "durable_objects:initialized",
                    %{object_id: ^id, response: %{}, timestamp: %DateTime{}}}

    assert_receive {:event, "durable_objects:method_called",
                    %{object_id: ^id, method: "echo", params: %{"a" => 1}}}

    assert_receive {:event, "durable_objects:websocket_opened", %{object_id: ^id}}
  end

  test "the same without the address, from the configuration", %{url: url, id: id} do
    options = [servers: url]
    assert {:ok, %{"success" => true}} = Stead.initialize(id, %{value: 3}, options)
    assert {:ok, %{"value" => 4}} = Stead.call_method(id, "increment", %{}, worker_url: url)
    assert {:ok, %{"data" => %{"value" => 4}}} = Stead.get_state(id, nil, options)
    assert {:ok, _} = Stead.update_state(id, "k", 1, options)
    assert {:ok, %{"value" => 1}} = Stead.get_state(id, "k", options)
    assert {:ok, _} = Stead.delete_state(id, "k", options)
    assert {:ok, _} = Stead.get_namespace_object("a", "b", options)
    assert {:ok, socket} = Stead.open_websocket(id, options)
    assert {:ok, ^socket} = Stead.open_websocket(id, options)
    assert {:error, %Error{code: "invalid_request", detail: detail}} = Stead.get_state(id)
    assert detail =~ "config :stead"
  end
end
