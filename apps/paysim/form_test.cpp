#include "paysim/form.hpp"

#include <gtest/gtest.h>

#include "paysim/api_error.hpp"
#include "paysim/requests.hpp"
#include "paysim/search.hpp"

namespace holdfast::paysim {
namespace {

/// "status param code" of the refusal, or "" where there was none.
template <class Body>
std::string refusal_of(Body&& body) {
  try {
    body();
  } catch (const ApiError& error) {
    return std::to_string(error.status()) + " " + error.body().param + " " + error.body().code;
  }
  return {};
}

TEST(Form, ReadsFlatAndNestedNames) {
  const Form form =
      Form::parse("amount=1999&currency=gbp&metadata%5Border_id%5D=ord+1&metadata[note]=%C3%A9&");
  EXPECT_EQ(form.integer("amount"), 1999);
  EXPECT_EQ(form.text("currency"), "gbp");
  EXPECT_EQ(form.text("absent"), std::nullopt);
  const Form::Pairs expected{{"order_id", "ord 1"}, {"note", "é"}};
  EXPECT_EQ(form.map("metadata"), expected);
  EXPECT_EQ(refusal_of([&] { form.refuse_unknown(); }), "");
}

TEST(Form, NamesWhatNobodyAskedFor) {
  const Form form = Form::parse("amount=1&colour=red");
  EXPECT_EQ(form.integer("amount"), 1);
  EXPECT_EQ(refusal_of([&] { form.refuse_unknown(); }), "400 colour parameter_unknown");
}

TEST(Form, RefusesWhatIsMalformedOrOverItsBounds) {
  for (const char* bad : {"a=%", "a=%zz", "a=%ff", "a=%00", "=1"}) {
    EXPECT_NE(refusal_of([&] { Form::parse(bad); }), "") << bad;
  }
  EXPECT_EQ(refusal_of([] { Form::parse("amount=1&amount=2"); }), "400 amount ");
  EXPECT_EQ(refusal_of([] { Form::parse("expand[]=a&expand[]=b"); }), "");
  EXPECT_NE(refusal_of([] { Form::parse(std::string(Form::kMaxNameBytes + 1, 'n') + "=1"); }), "");
  EXPECT_NE(refusal_of([] { Form::parse("a=" + std::string(Form::kMaxValueBytes + 1, 'v')); }), "");
  std::string many;
  for (std::size_t i = 0; i <= Form::kMaxPairs; ++i) many += "f" + std::to_string(i) + "=1&";
  EXPECT_NE(refusal_of([&] { Form::parse(many); }), "");
  for (const char* bad : {"amount=1.5", "amount=", "amount=99999999999999999999", "amount=1x"}) {
    EXPECT_EQ(refusal_of([&] { Form::parse(bad).integer("amount"); }), "400 amount parameter_invalid_integer")
        << bad;
  }
  EXPECT_NE(refusal_of([] { Form::parse("metadata[a][b]=1").map("metadata"); }), "");
  EXPECT_NE(refusal_of([] { Form::parse("metadata[]=1").map("metadata"); }), "");
}

TEST(Form, MeansTheSameInAnyOrder) {
  EXPECT_EQ(Form::parse("a=1&b=2").canonical(), Form::parse("b=2&a=1").canonical());
  EXPECT_NE(Form::parse("a=1&b=2").canonical(), Form::parse("a=1b=2").canonical());
  EXPECT_NE(Form::parse("a=1&b=2").canonical(), Form::parse("a=1&b=3").canonical());
}

TEST(Requests, NewIntentsAreCheckedFieldByField) {
  const auto refused = [](const char* form) {
    return refusal_of([&] { read_new_intent(Form::parse(form)); });
  };
  EXPECT_EQ(refused("amount=100&currency=GBP&confirm=true&payment_method=pm_card_visa"), "");
  EXPECT_EQ(read_new_intent(Form::parse("amount=100&currency=GBP")).currency, "gbp");
  EXPECT_EQ(refused("currency=gbp"), "400 amount parameter_missing");
  EXPECT_EQ(refused("amount=0&currency=gbp"), "400 amount parameter_invalid_integer");
  EXPECT_EQ(refused("amount=100000000&currency=gbp"), "400 amount amount_too_large");
  EXPECT_EQ(refused("amount=1"), "400 currency parameter_missing");
  EXPECT_EQ(refused("amount=1&currency=pound"), "400 currency ");
  EXPECT_EQ(refused("amount=1&currency=gbp&capture_method=later"), "400 capture_method ");
  EXPECT_EQ(refused("amount=1&currency=gbp&payment_method=pm_none"), "400 payment_method resource_missing");
  EXPECT_EQ(refused("amount=1&currency=gbp&confirm=true"), "400 payment_method parameter_missing");
  EXPECT_EQ(refused("amount=1&currency=gbp&payment_method_data[card][number]=4242424242424242"), "");
}

TEST(Search, ReadsMetadataAndStatus) {
  const SearchQuery plain = parse_search("metadata['order_id']:'ord_1'");
  EXPECT_EQ(plain.name, "order_id");
  EXPECT_EQ(plain.value, "ord_1");
  const SearchQuery both = parse_search(R"(status:"succeeded" AND metadata["k"]:"it\"s")");
  EXPECT_EQ(both.value, "it\"s");
  EXPECT_EQ(both.status, "succeeded");
  for (const char* bad : {"", "metadata", "metadata['a']", "metadata['a']:'b", "metadata['a']:'b' OR x",
                          "status:'x'", "metadata['a']:'b' AND metadata['c']:'d'", "amount>1"}) {
    EXPECT_NE(refusal_of([&] { parse_search(bad); }), "") << bad;
  }
}

}  // namespace
}  // namespace holdfast::paysim
