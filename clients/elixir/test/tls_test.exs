defmodule Stead.TLSTest do
  use Stead.Test.Case, async: true

  alias Stead.{Object, Socket}

  # A front with a certificate of its own, as a proxy before the nodes has: it hands every byte on.
  setup %{url: url} do
    name = [extensions: [{:Extension, {2, 5, 29, 17}, false, [dNSName: ~c"localhost"]}]]
    own = [key: {:namedCurve, :secp256r1}, digest: :sha256]
    chain = %{root: own, intermediates: [], peer: own}
    server = %{chain | peer: own ++ name}

    %{server_config: served, client_config: trusted} =
      :public_key.pkix_test_data(%{server_chain: server, client_chain: chain})

    {:ok, listener} =
      :ssl.listen(0, [:binary, active: false, ip: {127, 0, 0, 1}] ++ Keyword.take(served, [:cert, :key]))

    {:ok, {_, port}} = :ssl.sockname(listener)
    %URI{host: host, port: to} = URI.parse(url)
    start_supervised!({Task, fn -> accept(listener, {String.to_charlist(host), to}) end})
    {:ok, front: "https://localhost:#{port}", tls: Keyword.take(trusted, [:cacerts])}
  end

  defp accept(listener, to) do
    {:ok, connection} = :ssl.transport_accept(listener)

    front =
      spawn(fn ->
        receive do: (:go -> :ok)

        with {:ok, connection} <- :ssl.handshake(connection, 5_000) do
          {host, port} = to
          {:ok, node} = :gen_tcp.connect(host, port, [:binary, active: true])
          :ok = :ssl.setopts(connection, active: true)
          hand_on(connection, node)
        end
      end)

    :ok = :ssl.controlling_process(connection, front)
    send(front, :go)
    accept(listener, to)
  end

  defp hand_on(connection, node) do
    receive do
      {:ssl, ^connection, bytes} -> :gen_tcp.send(node, bytes) && hand_on(connection, node)
      {:tcp, ^node, bytes} -> :ssl.send(connection, bytes) && hand_on(connection, node)
      {:tcp_closed, ^node} -> :ssl.close(connection)
      {:ssl_closed, ^connection} -> :gen_tcp.close(node)
    end
  end

  test "requests and sockets over TLS", %{front: front, tls: tls, id: id} do
    counter = "counter/" <> id
    assert {:ok, %{"version" => 1}} = Object.call(counter, "increment", %{}, servers: front, tls: tls)
    {:ok, socket} = Socket.open(counter, servers: front, tls: tls)
    assert_event(counter, {:init, %{version: 1, state: %{"value" => 1}}})
    assert {:ok, %{"version" => 2}} = Socket.call(socket, "increment")
    assert_received {:stead, ^counter, {:update, %{version: 2}}}
    large = String.duplicate("ü", 500_000)
    {:ok, _} = Object.put_key("object/" <> id, "k", large, servers: front, tls: tls)
    assert {:ok, %{"value" => ^large}} = Object.get_key("object/" <> id, "k", servers: front, tls: tls)
  end

  test "a certificate that nobody vouches for, or of another name, is refused", %{front: front, tls: tls} do
    refused = fn options ->
      assert {:error, %Error{code: "connection_failed", retry: :safe, detail: detail}} =
               Object.get("counter/a", [retries: 0] ++ options)

      detail
    end

    assert refused.(servers: front) =~ "unknown_ca"

    assert refused.(servers: String.replace(front, "localhost", "127.0.0.1"), tls: tls) =~
             "hostname_check_failed"
  end
end
