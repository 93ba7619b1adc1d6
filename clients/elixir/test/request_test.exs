defmodule Stead.RequestTest do
  use Stead.Test.Case, async: true

  alias Stead.{Client, Object}

  @unavailable ~s({"code":"unavailable","detail":"no leader","retry":"safe"})
  @unknown ~s({"code":"outcome_unknown","detail":"who knows","retry":"unknown"})
  @done ~s({"result":1,"version":2})

  defp call(servers, options \\ []),
    do: Object.call("counter/a", "increment", %{}, [{:servers, servers} | options])

  # How often something was asked.
  defp asked(count \\ 0) do
    receive do
      {:asked, _} -> asked(count + 1)
    after
      0 -> count
    end
  end

  test "what surely did not happen is asked again" do
    url =
      Script.start([
        Script.answers(503, @unavailable),
        Script.answers(429, "busy"),
        Script.answers(200, @done)
      ])

    assert call(url) == {:ok, %{"result" => 1, "version" => 2}}
    assert asked() == 3
  end

  test "retries have a bound" do
    url = Script.start(List.duplicate(Script.answers(503, @unavailable), 9))

    assert {:error, %Error{status: 503, code: "unavailable", detail: "no leader", retry: :safe}} =
             call(url, retries: 2)

    assert asked() == 3
  end

  test "what may have happened is asked again only with an idempotency key, the same each time" do
    assert {:error, %Error{status: 504, retry: :unknown}} =
             call(Script.start([Script.answers(504, @unknown)]))

    assert asked() == 1

    url = Script.start([Script.answers(504, @unknown), Script.answers(200, @done)])
    assert {:ok, _} = call(url, idempotency_key: :generate)

    keys =
      for _ <- 1..2,
          do: assert_received({:asked, _}) |> elem(1) |> then(&Regex.run(~r/idempotency-key: (\S+)/, &1))

    assert [[_, key], [_, key]] = keys
  end

  test "a connection that breaks after the request: unknown for a write, asked again for a read" do
    breaks = fn _connection, _asked -> :ok end

    assert {:error, %Error{status: nil, code: "connection_lost", retry: :unknown}} =
             call(Script.start([breaks]))

    url = Script.start([breaks, Script.answers(200, ~s({"value":1}))])
    assert {:ok, %{"value" => 1}} = Object.get("counter/a", servers: url)
  end

  test "what never helps is not tried" do
    problem = ~s({"code":"version_mismatch","detail":"it is at 4","retry":"never"})
    url = Script.start([Script.answers(412, problem), Script.answers(200, @done)])
    assert {:error, %Error{status: 412, code: "version_mismatch", retry: :never}} = call(url)
  end

  test "no redirect is followed" do
    url =
      Script.start([
        Script.answers(302, "", [{"location", "http://127.0.0.1:1/"}]),
        Script.answers(200, @done)
      ])

    assert {:error, %Error{status: 302, retry: :never}} = call(url, idempotency_key: "k")
    assert asked() == 1
  end

  test "the pause that a server asks for is made, if there is time for it" do
    url = Script.start([Script.answers(429, "", [{"retry-after", "60"}])])
    assert {:error, %Error{status: 429, retry_after_ms: 60_000}} = call(url)
  end

  test "a server that says nothing" do
    url = Script.start([fn connection, _ -> Script.hold(connection) end])
    assert {:error, %Error{code: "timeout", retry: :unknown}} = call(url, timeout: 100)
  end

  test "a server that is not there, and another that is", %{url: url} do
    gone = Script.gone()

    assert {:error, %Error{status: nil, code: "connection_failed", retry: :safe} = error} =
             call(gone, retries: 1)

    assert Error.reason(error) == :network_error

    assert {:ok, _} =
             Object.call("counter/#{System.unique_integer()}", "increment", %{}, servers: [gone, url])
  end

  test "bodies in chunks, and to the end of the connection" do
    head = "HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n"

    chunks = fn connection, _ ->
      :gen_tcp.send(connection, head <> "7;x=y\r\n{\"resul\r\n8\r\nt\":true}\r\n0\r\n\r\n")
    end

    assert call(Script.start([chunks])) == {:ok, %{"result" => true}}
    to_end = fn connection, _ -> :gen_tcp.send(connection, "HTTP/1.0 200 OK\r\n\r\n{\"result\":true}") end
    assert call(Script.start([to_end])) == {:ok, %{"result" => true}}
  end

  test "what is not HTTP, and what is not JSON" do
    assert {:error, %Error{status: nil}} =
             call(Script.start([fn connection, _ -> :gen_tcp.send(connection, "220 mail\r\n") end]))

    assert {:error, %Error{status: 200, code: "invalid_response"} = error} =
             call(Script.start([Script.answers(200, "<html>")]))

    assert Error.reason(error) == :invalid_response
  end

  test "what is refused here is not sent" do
    assert {:error, %Error{code: "invalid_request", retry: :never}} = Object.get("counter/a", servers: [])
    assert {:error, %Error{code: "invalid_request"}} = Object.get("counter/a", servers: "ftp://host")
    assert {:error, %Error{code: "invalid_request"}} = Object.get("counter", servers: "http://127.0.0.1:1")

    assert {:error, %Error{code: "invalid_request"}} =
             call("http://127.0.0.1:1", idempotency_key: "two words")

    assert {:error, %Error{code: "invalid_request"}} =
             Client.update_state("http://127.0.0.1:1", "a", "k", {:no, :json})
  end

  test "the token is sent, and a path before the address' paths" do
    url = Script.start([Script.answers(200, @done)])
    assert {:ok, _} = call(url <> "/k/secret/", token: "t")
    assert_received {:asked, "POST /k/secret/v1/objects/counter/a/methods/increment HTTP/1.1\r\n" <> rest}
    assert rest =~ "authorization: Bearer t\r\n"
  end
end
