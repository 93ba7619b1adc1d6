defmodule Phoenix.StandIn.MixProject do
  use Mix.Project

  def project, do: [app: :phoenix, version: "1.7.0", elixir: "~> 1.14"]
  def application, do: [extra_applications: [:logger]]
end
