#include <gtest/gtest.h>

#include "holdfast/base/error.hpp"
#include "holdfast/blob/internal/xml.hpp"

namespace holdfast::blob {
namespace {

TEST(Xml, ReadsWhatS3Answers) {
  const XmlElement root = parse_xml(
      "<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n<ListBucketResult xmlns=\"http://s3/\">"
      "<IsTruncated>true</IsTruncated><Contents><Key>a &amp; &#252;&#x1F600;</Key><Size>3</Size></Contents>"
      "<Contents><Key>b</Key></Contents><Empty/></ListBucketResult>\n");
  EXPECT_EQ(root.name, "ListBucketResult");
  EXPECT_EQ(root.text_of("IsTruncated"), "true");
  ASSERT_EQ(root.children.size(), 4U);
  EXPECT_EQ(root.children[1].text_of("Key"), "a & ü😀");
  EXPECT_EQ(root.text_of("Missing"), "");
}

TEST(Xml, RefusesWhatCouldHideOrGrow) {
  for (const char* text :
       {"", "<a>", "<a></b>", "<a/><b/>", "<a>&b;</a>", "<a>&#0;</a>", "<a>&#xD800;</a>", "<a>&amp</a>",
        "<!DOCTYPE a [<!ENTITY b \"c\">]><a>&b;</a>", "<a><!-- b --></a>", "<a><![CDATA[b]]></a>",
        "<a><?b?></a>", "<a b=c/>", "<a b=\"c\"d=\"e\"/>", "<a>\xFF</a>", "text"}) {
    EXPECT_THROW(parse_xml(text), Error) << text;
  }
}

TEST(Xml, HasLimits) {
  std::string deep;
  for (int i = 0; i < 9; ++i) deep += "<a>";
  for (int i = 0; i < 9; ++i) deep += "</a>";
  EXPECT_THROW(parse_xml(deep), Error);
  EXPECT_NO_THROW(parse_xml(deep.substr(3, deep.size() - 7)));
  EXPECT_THROW(parse_xml("<a><b/><b/></a>", {.max_elements = 2}), Error);
  EXPECT_THROW(parse_xml("<a>12345</a>", {.max_bytes = 11}), Error);
}

}  // namespace
}  // namespace holdfast::blob
