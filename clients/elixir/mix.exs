defmodule Stead.MixProject do
  use Mix.Project

  @version "0.1.0"

  def project do
    [
      app: :stead,
      version: @version,
      elixir: "~> 1.14",
      elixirc_paths: if(Mix.env() == :test, do: ["lib", "test/support"], else: ["lib"]),
      elixirc_options: [warnings_as_errors: Mix.env() == :test],
      deps: deps(Mix.env()),
      description: "Client of Stead, the stateful object server: calls, live updates, Phoenix channels",
      package: [licenses: ["MIT", "Apache-2.0"], links: %{}],
      docs: [main: "readme", extras: ["README.md"]]
    ]
  end

  def application do
    [
      mod: {Stead.Application, []},
      extra_applications: [:logger, :crypto, :public_key, :ssl] ++ optional(Mix.env())
    ]
  end

  # None is needed. Each is used when the application that includes this package has it, and is named so that it
  # is compiled first. Without Hex, Mix could not even read their names.
  defp deps(:test), do: [{:phoenix, path: "test/stand_ins/phoenix"}]

  defp deps(_env) do
    if Code.ensure_loaded?(Hex) do
      [
        {:jason, "~> 1.2", optional: true},
        {:phoenix, "~> 1.6", optional: true},
        {:phoenix_pubsub, "~> 2.0", optional: true}
      ]
    else
      []
    end
  end

  # What Debian has in Erlang's own directory: JSON for Elixir before 1.18 and, for the tests, another WebSocket
  # codec to compare ours with.
  defp optional(:test), do: [jiffy: :optional, cowlib: :optional]
  defp optional(_env), do: [jiffy: :optional]
end
