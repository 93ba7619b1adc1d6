defmodule Stead.TranscriptTest do
  # The requests of `Stead.Client` byte for byte: those of clients of Cloudflare's worker, which the server takes
  # as they are. What such a client adds (its name, what it accepts) does not matter and is left out.
  use Stead.Test.Case, async: true

  alias Stead.Client

  defp transcript(body \\ ~s({"success":true}), call) do
    url = Script.start([Script.answers(200, body)])
    assert {:ok, _} = call.(url)
    assert_receive {:asked, asked}
    asked |> String.replace(~r/(host|accept): .*\r\n/, "") |> String.replace("\r", "")
  end

  test "each function's request" do
    assert transcript(&Client.initialize(&1, "counter", %{value: 0})) == """
           POST /initialize/counter HTTP/1.1
           content-type: application/json
           content-length: 11

           {"value":0}\
           """

    assert transcript(&Client.call_method(&1, "counter", "increment", %{increment: 1})) == """
           POST /object/counter/method/increment HTTP/1.1
           content-type: application/json
           content-length: 15

           {"increment":1}\
           """

    assert transcript(&Client.get_state(&1, "counter")) == "GET /object/counter/state HTTP/1.1\n\n"

    assert transcript(&Client.get_state(&1, "counter", "value")) ==
             "GET /object/counter/state/value HTTP/1.1\n\n"

    assert transcript(&Client.update_state(&1, "counter", "value", 5)) == """
           PUT /object/counter/state/value HTTP/1.1
           content-type: application/json
           content-length: 11

           {"value":5}\
           """

    assert transcript(&Client.delete_state(&1, "counter", "a%20b")) ==
             "DELETE /object/counter/state/a%20b HTTP/1.1\n\n"

    id = transcript(~s("id"), &Client.get_namespace_object(&1, "rooms", "lobby"))
    assert id == "GET /namespace/rooms/id/lobby HTTP/1.1\n\n"
  end

  # Clients written for the worker send these to it; they differ from ours in what is shown.
  test "the requests of a client of the worker are answered as it expects", %{url: url, id: id} do
    {:ok, server} = Stead.Server.parse(url)

    ask = fn verb, path, headers, body ->
      request = %{verb: verb, path: path, headers: headers, body: body}
      {:ok, answer} = Stead.HTTP.ask(server, request, Stead.HTTP.now() + 5_000, [])
      {answer.status, answer.body}
    end

    json = [{"content-type", "application/json"}, {"user-agent", "mint/1.5.1"}]
    assert ask.("POST", "/initialize/#{id}", json, ~s({"value":0})) == {200, ~s({"success":true})}
    assert {200, result} = ask.("POST", "/object/#{id}/method/increment", json, ~s({"increment":1}))

    assert Stead.JSON.decode(result) ==
             {:ok,
              %{
                "success" => true,
                "result" => %{"key" => "value", "value" => 1},
                "key" => "value",
                "value" => 1
              }}

    assert {200, _} = ask.("POST", "/object/#{id}/method_increment", json, ~s({"increment":1}))
    assert ask.("GET", "/object/#{id}/state", [], nil) == {200, ~s({"data":{"value":2}})}
    assert ask.("GET", "/object/#{id}/state/value", [], nil) == {200, ~s({"key":"value","value":2})}

    assert ask.("PUT", "/object/#{id}/state/a", json, ~s({"value":null})) ==
             {200, ~s({"success":true,"key":"a"})}

    assert ask.("DELETE", "/object/#{id}/state/a", [], nil) == {200, ~s({"success":true,"key":"a"})}
    assert ask.("GET", "/object/#{id}/state/a", [], nil) == {404, "Key not found"}
    assert ask.("PUT", "/object/#{id}/state/a", json, "{}") == {400, "Missing value"}

    assert ask.("POST", "/object/#{id}/method/fly", json, "{}") ==
             {404, ~s({"success":false,"error":"Method not found"})}

    assert {200, <<?", _::binary-size(64), ?">>} = ask.("GET", "/namespace/rooms/id/lobby", [], nil)
  end
end
