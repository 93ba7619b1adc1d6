defmodule Stead.ClientTest do
  use Stead.Test.Case, async: true

  alias Stead.Client

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
end
