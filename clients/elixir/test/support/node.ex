defmodule Stead.Test.Node do
  @moduledoc "A real server, one process of this machine, from the program that `STEAD_BIN` names."

  alias Stead.Test.Eventually

  @enforce_keys [:port, :os_pid, :url, :data, :peer]
  defstruct [:port, :os_pid, :url, :data, :peer]

  @secret "the secret of a test's cluster"
  @start_ms 20_000

  # The shell ends the server when this machine lets go of its input, however it ends.
  @script ~S(exec 3<&0; "$@" 2>>"$LOG" & node=$!; echo "pid $node"; cat <&3 >/dev/null; kill -9 $node 2>&-)

  def program do
    System.get_env("STEAD_BIN") || raise "set STEAD_BIN to the server's program; tests/elixir.sh does"
  end

  @doc "Starts a server and waits until it listens. Options: `:join` (a node), `:data`, `:listen`."
  def start(options \\ []) do
    data = options[:data] || fresh_directory()
    listen = options[:listen] || "127.0.0.1:0"
    peer = options[:peer] || "127.0.0.1:0"
    join = if options[:join], do: ["--join", options[:join].peer], else: []
    serve = ["serve", "--data", data, "--listen", listen, "--peer-listen", peer | join]

    port =
      Port.open({:spawn_executable, "/bin/sh"}, [
        :binary,
        {:line, 1_000},
        args: ["-c", @script, "sh", program() | serve],
        env: [{~c"STEAD_JOIN_SECRET", to_charlist(@secret)}, {~c"LOG", to_charlist(data <> ".log")}]
      ])

    os_pid = await_line(port, ~r/\Apid (\d+)/, data)
    url = await_line(port, ~r/\Alistening on (http:\S+)/, data)
    node = %__MODULE__{port: port, os_pid: os_pid, url: url, data: data, peer: nil}
    %{node | peer: Eventually.get("the server to know itself", fn -> peer_address(node) end)}
  end

  @doc "Starts it again on its data, at its addresses."
  def start_again(node) do
    listen = String.replace_prefix(node.url, "http://", "")
    # Meanwhile a connection of anybody's may have been given the port.
    Enum.each([listen, node.peer], fn address ->
      Eventually.get("#{address} to be free", fn -> free?(address) end)
    end)

    start(data: node.data, listen: listen, peer: node.peer)
  end

  defp free?(address) do
    port = address |> String.split(":") |> List.last() |> String.to_integer()

    case :gen_tcp.listen(port, reuseaddr: true, ip: {127, 0, 0, 1}) do
      {:ok, listener} -> :gen_tcp.close(listener) == :ok
      {:error, :eaddrinuse} -> false
    end
  end

  @doc "Ends it as a power cut would."
  def kill(node), do: signal(node, "-9")

  @doc "Asks it to stop, as an operator does."
  def stop(node), do: signal(node, "-TERM")

  @doc "Ends it for good."
  def remove(node) do
    if Port.info(node.port), do: Port.close(node.port)
    # The shell kills the server when it notices.
    File.rm_rf(node.data)
    File.rm(node.data <> ".log")
  end

  @doc "What it answers to a GET."
  def get(node, path) do
    {:ok, decoded, _headers} = Stead.Request.run(:read, "GET", path, nil, servers: node.url)
    decoded
  end

  defp peer_address(node) do
    own = String.replace_prefix(node.url, "http://", "")
    Enum.find_value(get(node, "/v1/nodes")["nodes"], &(&1["address"] == own && &1["peer_address"]))
  end

  defp signal(node, how) do
    {_said, 0} = System.cmd("kill", [how, node.os_pid])
    :ok
  end

  defp await_line(port, pattern, data) do
    receive do
      {^port, {:data, {:eol, line}}} ->
        case Regex.run(pattern, line) do
          [_, found] -> found
          nil -> await_line(port, pattern, data)
        end
    after
      @start_ms -> raise "the server did not start: #{File.read!(data <> ".log")}"
    end
  end

  defp fresh_directory do
    Path.join(System.tmp_dir!(), "stead-elixir-#{System.pid()}-#{System.unique_integer([:positive])}")
  end
end
