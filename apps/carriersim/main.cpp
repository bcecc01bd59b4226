// `carriersim`: an old carrier to develop against and to break. What it does is in carriersim.hpp.
#include "simulator/main.hpp"
#include "carriersim/carriersim.hpp"

namespace {

using namespace holdfast;

constexpr simulator::About kAbout{
    .name = "carriersim",
    .what = "An old carrier to develop against and to break.",
    .footer =
        "Speaks fixed forms of NAME=value lines. Everything is kept in the data folder;\n"
        "GET /carriersim/book shows it.\n"
        "\n"
        "Examples:\n"
        "  carriersim\n"
        "  carriersim --behaviour "
        "'{\"rules\":[{\"action\":\"drop_after\",\"operation\":\"book\",\"rate\":0.1}]}'\n"
        "  printf 'FORM=SNDAUS\\nKUNNR=0000004711\\nXREF=x\\n' | \\\n"
        "       curl --data-binary @- http://127.0.0.1:8092/cgi-bin/auskunft",
    .is_ready_at = "",
    .free_address = "127.0.0.1:8093"};

void add_options(CLI::App& app, carriersim::Settings& settings) {
  app.add_option("--customer-number", settings.customer_number, "the one customer it has")
      ->capture_default_str();
  app.add_option("--password", settings.password, "what callers must show; empty: nothing");
  app.add_option("--behaviour", settings.behaviour,
                 "how to misbehave: JSON as PUT /carriersim/behaviour takes it");
}

}  // namespace

int main(int argc, char** argv) {
  return simulator::run<carriersim::Carriersim>(kAbout, carriersim::Settings{}, add_options, argc, argv);
}
