#include "orders/demo_catalog.hpp"

#include <string_view>

#include "orders/modules/catalog/catalog.hpp"

namespace holdfast::orders {
namespace {

struct DemoProduct {
  std::string_view sku;
  std::string_view name;
  std::int64_t pence;
  std::int64_t stock;
  std::string_view attributes;
  std::string_view description;
};

constexpr DemoProduct kProducts[] = {
    {"KELP-TEA", "Kelp forest tea", 650, 400, R"({"grams":100,"origin":"Orkney"})",
     "Dried sugar kelp and mint. Tastes of a clear morning by the sea."},
    {"MUG-ANCHOR", "Anchor mug", 1250, 250, R"({"colour":"navy","millilitres":350})",
     "Stoneware, thrown by hand, heavy enough to stay put in a storm."},
    {"MUG-GULL", "Gull mug", 1250, 180, R"({"colour":"white","millilitres":350})",
     "The anchor mug's brother. The gull looks at your biscuit."},
    {"BOWL-TIDE", "Tide bowl", 1800, 120, R"({"colour":"sea green","centimetres":18})",
     "Glazed in two greens that meet where the water would stand."},
    {"LAMP-BUOY", "Buoy lamp", 7900, 40, R"({"watts":6,"fitting":"E14"})",
     "A harbour buoy for the bedside table. Dims, doesn't ring."},
    {"ROPE-10", "Mooring rope, 10 m", 2400, 90, R"({"metres":10,"millimetres":12})",
     "Three-strand polyester with a spliced eye."},
    {"BLANKET-FOG", "Fog blanket", 8900, 60, R"({"wool":"merino","centimetres":[140,200]})",
     "Grey on one side, lighter grey on the other."},
    {"SOAP-SALT", "Sea salt soap", 480, 600, R"({"grams":120})",
     "Scrubs like a beach, smells like a better one."},
    {"PRINT-CHART", "Sea chart print", 3200, 150, R"({"size":"A2","paper":"cotton"})",
     "The Pentland Firth of 1858, with all its warnings."},
    {"CANDLE-LIGHTHOUSE", "Lighthouse candle", 1450, 220, R"({"hours":40})",
     "Beeswax. Visible for about four metres in clear weather."},
    {"NOTEBOOK-LOG", "Log book", 990, 300, R"({"pages":192,"ruled":true})",
     "For what happened, in order, in ink. Never trimmed."},
    {"BISCUITS-TIN", "Ship's biscuits", 750, 500, R"({"grams":300,"vegan":true})",
     "Keep for years; won't have to."}};

}  // namespace

std::size_t load_demo_catalog(const Context& ctx, sql::Database& database) {
  return database.transact(ctx, "load demo catalog", [&](sql::Transaction& tx) -> std::size_t {
    if (tx.query_value<std::int64_t>("select count(*) from (select 1 from products limit 1) as any_product") >
        0)
      return 0;
    for (const DemoProduct& demo : kProducts) {
      catalog::NewProduct product;
      product.sku = demo.sku;
      product.name = demo.name;
      product.description = demo.description;
      product.price = {demo.pence, Currency::of("GBP")};
      product.attributes = JsonText::parse(demo.attributes);
      product.initial_stock = demo.stock;
      catalog::create(ctx, tx, product);
    }
    return std::size(kProducts);
  });
}

}  // namespace holdfast::orders
