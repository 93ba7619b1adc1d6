# One server for all tests that break none. Those that do start their own.
node = Stead.Test.Node.start()
Application.put_env(:stead, :test_node, node)

ExUnit.after_suite(fn _results ->
  # Sockets that linger would only complain.
  Application.stop(:stead)
  Stead.Test.Node.remove(node)
end)

Logger.configure(level: :error)
ExUnit.start(capture_log: true)
